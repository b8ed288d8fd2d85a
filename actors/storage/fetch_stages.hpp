// Where the reads of one pack reader hang: with drives, or with a codec worker. Tells
// a `stage_watch` of the read that began first, since a get writes in that order.
#pragma once

#include "storage/stage_watch.hpp"

#include <map>
#include <memory>

namespace datamesh::storage {

/// Not thread safe; lives in the actor that reads.
class fetch_stages : public std::enable_shared_from_this<fetch_stages> {
public:
  /// One read. What is told of it after its end changes nothing.
  class step {
  public:
    step(std::shared_ptr<fetch_stages> all, uint64_t number) : all_(std::move(all)), number_(number) {}
    ~step() {
      end();
    }
    step(const step&) = delete;
    step& operator=(const step&) = delete;
    void ask(const drive_id& drive);
    void answered(const drive_id& drive);
    void at_worker(bool is);
    void end();

  private:
    std::shared_ptr<fetch_stages> all_;
    uint64_t number_;
  };

  /// *watch* may be null; then nobody is told.
  explicit fetch_stages(std::shared_ptr<stage_watch> watch) : watch_(std::move(watch)) {}

  [[nodiscard]] std::shared_ptr<step> begin();

private:
  struct read {
    std::map<drive_id, size_t> due; ///< Answers, by drive.
    bool at_worker = false;
  };
  void tell();

  std::shared_ptr<stage_watch> watch_;
  std::map<uint64_t, read> reads_;
  uint64_t last_ = 0;
  stage_wait told_;
};

} // namespace datamesh::storage
