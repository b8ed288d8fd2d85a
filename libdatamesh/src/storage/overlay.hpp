// Reading rows with one sticky error, and, on top of it, a view of the store that
// already shows the changes of the commit that is being put together.
//
// The fold asks hundreds of small questions; instead of a result each, the first
// error is kept and the one who began asks for it at the end. After an error
// every row reads as absent, and nothing is written.
#pragma once

#include "datamesh/base/ordered_store.hpp"
#include "storage/catalog_rows.hpp"

#include <map>
#include <unordered_map>

namespace datamesh::storage {

class row_source {
public:
  using visitor = std::function<bool(std::string_view key, std::string_view value)>;

  explicit row_source(const ordered_view& base) : base_(base) {}
  virtual ~row_source() = default;
  row_source(const row_source&) = delete;
  row_source& operator=(const row_source&) = delete;

  [[nodiscard]] virtual std::optional<std::string> get(std::string_view key) const;

  /// Rows of which the key begins with *prefix*, from *first* on, in order. Reads page
  /// by page, so that *visit* may itself read rows.
  virtual void scan(std::string_view prefix, std::string_view first, const visitor& visit) const;
  void scan(std::string_view prefix, const visitor& visit) const {
    scan(prefix, prefix, visit);
  }

  [[nodiscard]] bool has(std::string_view key) const {
    return get(key).has_value();
  }

  /// The decoded row, or nothing; a row that does not decode is damage.
  template <class Row>
  [[nodiscard]] std::optional<Row> load(std::string_view key) const {
    auto value = get(key);
    if (!value)
      return std::nullopt;
    return parse<Row>(key, *value);
  }

  /// Decodes a row that a scan found.
  template <class Row>
  [[nodiscard]] std::optional<Row> parse(std::string_view key, std::string_view value) const {
    std::optional<Row> row;
    if (key_fits(key)) {
      if constexpr (requires { Row::decode(key, value); })
        row = Row::decode(key, value);
      else
        row = Row::decode(value);
    }
    if (!row)
      damaged(key);
    return row;
  }

  /// Notes that the row at *key*, or what it says, can not be.
  void damaged(std::string_view key) const;
  void note(const error& e) const {
    if (!error_)
      error_ = e;
  }
  [[nodiscard]] bool failed() const {
    return error_.has_value();
  }
  /// What went wrong first, if anything did.
  [[nodiscard]] result<void> outcome() const;

protected:
  const ordered_view& base_;

private:
  mutable std::optional<error> error_;
};

/// Reads its own writes. Only kinds that the fold walks are kept sorted.
class overlay final : public row_source {
public:
  using row_source::row_source;
  using row_source::scan;

  [[nodiscard]] std::optional<std::string> get(std::string_view key) const override;
  void scan(std::string_view prefix, std::string_view first, const visitor& visit) const override;

  void put(std::string key, std::string value);
  void erase(std::string key);

  /// All changes as one batch, in order of key; afterwards there are none.
  [[nodiscard]] write_batch take_batch();

private:
  using change = std::optional<std::string>;
  struct text_hash {
    using is_transparent = void;
    size_t operator()(std::string_view x) const noexcept {
      return std::hash<std::string_view>{}(x);
    }
  };

  std::unordered_map<std::string, change, text_hash, std::equal_to<>> hashed_;
  std::map<std::string, change, std::less<>> sorted_;
};

} // namespace datamesh::storage
