/* The store as a C program sees it: a thin layer over datamesh/node.hpp.
 *
 * Answers. Every call that can fail answers a code: 0, or the number of the errc of
 * the same name in datamesh/base/errc.hpp (docs/errors.md lists them); numbers are
 * never reused. Where *why* is not null it is then set to an error that tells more;
 * free it with datamesh_error_free. (It is null when there is no memory for it; all
 * calls on errors let null pass.) On success *why* is left alone, on failure every
 * other result is. No exception crosses this border, in either direction: a callback
 * must return.
 *
 * Strings are bytes that end in a zero; paths may hold any other byte. What comes in
 * is copied before the call returns. What a callback is shown lives until the
 * callback returns. A `char **` result is freed with datamesh_free.
 *
 * Structs that the caller supplies begin with their own size, which tells the
 * library how much of them the caller knows: `datamesh_put_summary s = {.struct_size = sizeof s};`.
 * Members that are zero have their defaults.
 *
 * Thread rule: all calls from any thread, on the same handle, too, except those that
 * free it. A call blocks until it has its answer; callbacks of data and failures run
 * on one thread at a time and are over when the call returns, which therefore waits
 * for a running one even when it is cancelled; on_event runs on a thread of the node
 * until datamesh_node_close returns, and a call returns when it was called with the
 * events of that call: it must not wait for a lock that is held over one. A callback
 * must not free the handle it serves. Close a node's vaults before the node.
 */
#ifndef DATAMESH_DATAMESH_H
#define DATAMESH_DATAMESH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DATAMESH_C_EXPORT __attribute__((visibility("default")))

typedef struct datamesh_node datamesh_node;
typedef struct datamesh_vault datamesh_vault;
typedef struct datamesh_error datamesh_error;
typedef struct datamesh_cancel datamesh_cancel;

/* "0.1.0", of the library that is loaded. */
DATAMESH_C_EXPORT const char* datamesh_version(void);

/* -- errors ---------------------------------------------------------------- */

DATAMESH_C_EXPORT int datamesh_error_code(const datamesh_error* error);
/* One line: what was tried, on what, and why it failed. */
DATAMESH_C_EXPORT const char* datamesh_error_message(const datamesh_error* error);
DATAMESH_C_EXPORT void datamesh_error_free(datamesh_error* error);

/* "DM-NO-SPACE", a sentence on what happened and one on what to do next; an empty
 * string for a number that is no code. */
DATAMESH_C_EXPORT const char* datamesh_code_name(int code);
DATAMESH_C_EXPORT const char* datamesh_code_title(int code);
DATAMESH_C_EXPORT const char* datamesh_code_suggestion(int code);

/* Frees a string that a call answered. */
DATAMESH_C_EXPORT void datamesh_free(char* text);

/* -- how a call is steered --------------------------------------------------- */

/* Cancels every call that was given it, now and later; from any thread. */
DATAMESH_C_EXPORT datamesh_cancel* datamesh_cancel_new(void);
DATAMESH_C_EXPORT void datamesh_cancel_now(datamesh_cancel* cancel);
DATAMESH_C_EXPORT void datamesh_cancel_free(datamesh_cancel* cancel);

typedef struct datamesh_job_options {
  size_t struct_size;
  const datamesh_cancel* cancel; /* may be null; may be freed when the call returned */
  uint64_t timeout_ms;           /* 0: none */
  uint64_t job;                  /* number that events carry; 0: the node chooses */
  /* Told of each item that failed while the call goes on with the others, at most
   * 1,000 times, before the call returns. May be null. */
  void (*on_failure)(void* context, const char* path, int code, const char* message);
  void* context;
} datamesh_job_options;

/* -- node ---------------------------------------------------------------------- */

/* Kinds as in datamesh/event.hpp. */
typedef struct datamesh_event {
  size_t struct_size; /* of the library's */
  int kind;
  int severity; /* 0 info, 1 warning, 2 error, 3 critical */
  uint64_t sequence;
  int64_t wall_ns;
  uint64_t job;
  const char* subject;
  const char* detail;
  int code; /* 0: none */
  uint64_t items_done;
  uint64_t items_total;
  uint64_t bytes_done;
  uint64_t bytes_total;
} datamesh_event;

typedef struct datamesh_node_options {
  size_t struct_size;
  uint64_t memory_bytes;                                        /* 0: 96 MiB */
  unsigned codec_threads;                                       /* 0: one a core */
  int compression_level;                                        /* 1..19; 0: 2; negative: off */
  void (*on_event)(void* context, const datamesh_event* event); /* may be null */
  void* context;
} datamesh_node_options;

/* *options* may be null. */
DATAMESH_C_EXPORT int datamesh_node_create(const char* home, const datamesh_node_options* options, datamesh_node** node,
                                           datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_node_open(const char* home, const datamesh_node_options* options, datamesh_node** node,
                                         datamesh_error** why);
/* Null is let pass by all calls that free. */
DATAMESH_C_EXPORT void datamesh_node_close(datamesh_node* node);

DATAMESH_C_EXPORT int datamesh_drive_add(datamesh_node* node, const char* folder, datamesh_error** why); /* ends a drain, too */
DATAMESH_C_EXPORT int datamesh_drive_adopt(datamesh_node* node, const char* folder, datamesh_error** why);
/* *drive* by id, its first hex digits, or folder. */
DATAMESH_C_EXPORT int datamesh_drive_drain(datamesh_node* node, const char* drive, datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_drive_remove(datamesh_node* node, const char* drive, int force, datamesh_error** why);

typedef struct datamesh_drive {
  size_t struct_size; /* of the library's */
  const char* id;     /* hex */
  const char* folder;
  const char* state; /* "ok", "read-only", "draining", "failed", "missing" */
  uint64_t shards;
  uint64_t shard_bytes;
  uint64_t disk_total;
  uint64_t disk_free;
} datamesh_drive;

/* Calls *visit* for each drive until it answers something other than 0. */
DATAMESH_C_EXPORT int datamesh_drive_list(const datamesh_node* node, int (*visit)(void* context, const datamesh_drive* drive),
                                          void* context, datamesh_error** why);

/* -- vaults ----------------------------------------------------------------------- */

/* A caller in C may pass any number: in C++ all of them are values, too, and are
   answered with the code of an invalid argument. */
#ifdef __cplusplus
#define DATAMESH_ENUM(name) enum name : unsigned int
#else
#define DATAMESH_ENUM(name) enum name
#endif

typedef DATAMESH_ENUM(datamesh_credential){
    DATAMESH_PASSWORD = 0, DATAMESH_RECOVERY_PHRASE = 1, DATAMESH_THIS_DEVICE = 2 /* its secret is null */
} datamesh_credential;

/* At least one of *password* (else null) and *trust_this_device*. The phrase is
 * shown this once; *phrase* may be null. */
DATAMESH_C_EXPORT int datamesh_vault_create(datamesh_node* node, const char* name, const char* password, int trust_this_device,
                                            char** phrase, datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_vault_open(datamesh_node* node, const char* name, datamesh_credential kind, const char* secret,
                                          datamesh_vault** vault, datamesh_error** why);
DATAMESH_C_EXPORT void datamesh_vault_close(datamesh_vault* vault);

/* -- data ----------------------------------------------------------------------------- */

typedef DATAMESH_ENUM(datamesh_if_exists){DATAMESH_VERSION = 0, DATAMESH_FAIL = 1, DATAMESH_RENAME = 2} datamesh_if_exists;

/* What the bytes of a put or a get pass; `transfer_waits` of datamesh/node.hpp says when one is waited for. */
typedef DATAMESH_ENUM(datamesh_stage){
    DATAMESH_STAGE_NONE = 0,   DATAMESH_STAGE_MEMORY = 1,  DATAMESH_STAGE_SOURCE = 2, DATAMESH_STAGE_CODEC = 3,
    DATAMESH_STAGE_DRIVES = 4, DATAMESH_STAGE_CATALOG = 5, DATAMESH_STAGE_TARGET = 6,
} datamesh_stage;

typedef struct datamesh_put_summary {
  size_t struct_size;
  uint64_t files;
  uint64_t folders;
  uint64_t symlinks;
  uint64_t bytes;
  uint64_t bytes_known; /* of them, referenced and not stored again */
  uint64_t bytes_written;
  uint64_t shards_short; /* most shards that any pack lacks; 0: full */
  uint64_t failure_count;
  uint64_t elapsed_ns;
  uint64_t limiting;    /* a datamesh_stage: what it waited for longest... */
  uint64_t limiting_ns; /* ... and how long */
} datamesh_put_summary;

typedef struct datamesh_get_summary {
  size_t struct_size;
  uint64_t files;
  uint64_t folders;
  uint64_t symlinks;
  uint64_t bytes;
  uint64_t bytes_resumed;
  uint64_t shards_bad; /* read around */
  uint64_t failure_count;
  uint64_t elapsed_ns;
  uint64_t limiting;
  uint64_t limiting_ns;
} datamesh_get_summary;

/* Up to *size* bytes into *out*: their count, 0 at the end, negative to fail. */
typedef int64_t (*datamesh_read)(void* context, void* out, size_t size);
/* 0 when all of *data* was taken. */
typedef int (*datamesh_write)(void* context, const void* data, size_t size);

/* *job* and *summary* may be null everywhere. */
DATAMESH_C_EXPORT int datamesh_put(datamesh_vault* vault, const char* source_path, const char* target_path, datamesh_if_exists conflict,
                                   const datamesh_job_options* job, datamesh_put_summary* summary, datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_put_stream(datamesh_vault* vault, datamesh_read read, void* context, const char* target_path,
                                          datamesh_if_exists conflict, const datamesh_job_options* job, datamesh_put_summary* summary,
                                          datamesh_error** why);
/* *target_name* null or empty: the path's own. */
DATAMESH_C_EXPORT int datamesh_get(datamesh_vault* vault, const char* path, const char* target_folder, const char* target_name,
                                   int overwrite, const datamesh_job_options* job, datamesh_get_summary* summary, datamesh_error** why);
/* *length* UINT64_MAX: to the end. */
DATAMESH_C_EXPORT int datamesh_get_stream(datamesh_vault* vault, const char* path, uint64_t first, uint64_t length, datamesh_write write,
                                          void* context, const datamesh_job_options* job, datamesh_get_summary* summary,
                                          datamesh_error** why);

/* -- names ------------------------------------------------------------------------------- */

typedef struct datamesh_entry {
  size_t struct_size; /* of the library's */
  const char* path;
  const char* name;
  int kind; /* 1 file, 2 folder, 3 symlink */
  uint32_t mode;
  uint64_t size;
  int64_t modified_ns;
  const char* symlink_target;
  uint32_t version_count;
} datamesh_entry;

/* Answers 0 to go on. */
typedef int (*datamesh_visit_entry)(void* context, const datamesh_entry* entry);

/* All below a folder, or the one entry that is no folder. */
DATAMESH_C_EXPORT int datamesh_list(const datamesh_vault* vault, const char* path, int recursive, datamesh_visit_entry visit, void* context,
                                    datamesh_error** why);
/* The one entry at *path*. */
DATAMESH_C_EXPORT int datamesh_info(const datamesh_vault* vault, const char* path, datamesh_visit_entry visit, void* context,
                                    datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_make_folder(datamesh_vault* vault, const char* path, datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_remove(datamesh_vault* vault, const char* path, int recursive, datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_move(datamesh_vault* vault, const char* from, const char* to, datamesh_if_exists conflict,
                                    datamesh_error** why);
DATAMESH_C_EXPORT int datamesh_flush(datamesh_vault* vault, datamesh_error** why);

/* -- care ---------------------------------------------------------------------------------- */

/* "safe", "degraded", "lost" or "unknown", a sentence for people, and the policy that
 * new data gets, as "4+2". Each may be null. */
DATAMESH_C_EXPORT int datamesh_status(const datamesh_vault* vault, char** answer, char** sentence, char** policy, datamesh_error** why);

typedef struct datamesh_verify_summary {
  size_t struct_size;
  uint64_t packs;
  uint64_t shards;
  uint64_t bytes;
  uint64_t shards_missing;
  uint64_t shards_damaged;
  uint64_t shards_repaired;
  uint64_t shards_unplaced;
  uint64_t packs_lost;
  uint64_t files_lost; /* on_failure of *job* is told their paths */
} datamesh_verify_summary;

DATAMESH_C_EXPORT int datamesh_verify(datamesh_vault* vault, int deep, int repair, const datamesh_job_options* job,
                                      datamesh_verify_summary* summary, datamesh_error** why);

#ifdef __cplusplus
}
#endif

#endif
