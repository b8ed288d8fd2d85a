/* The C layer, used by C: what goes in comes out, and each failure has its code. */
#define _XOPEN_SOURCE 700
#include "datamesh/datamesh.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition) require((condition), #condition, __LINE__)

static void require(int condition, const char* text, int line) {
  if (!condition) {
    fprintf(stderr, "c_api_test.c:%d: not so: %s\n", line, text);
    exit(1);
  }
}

/* The call worked; else its error is shown. */
static void need(int code, datamesh_error* why, int line) {
  if (code != 0) {
    fprintf(stderr, "c_api_test.c:%d: %s: %s\n", line, datamesh_code_name(code), datamesh_error_message(why));
    exit(1);
  }
}
#define NEED(call) need((call), why, __LINE__)

/* The call failed with *code*, and the error says so, too. */
static void refused(int got, int expected, datamesh_error** why, int line) {
  if (got != expected || datamesh_error_code(*why) != expected || strlen(datamesh_error_message(*why)) == 0) {
    fprintf(stderr, "c_api_test.c:%d: answered %d (%s) instead of %d\n", line, got, datamesh_error_message(*why), expected);
    exit(1);
  }
  datamesh_error_free(*why);
  *why = NULL;
}
#define REFUSED(call, code) refused((call), (code), &why, __LINE__)

enum {
  invalid_argument = 2,
  not_found = 3,
  already_exists = 4,
  cancelled = 5,
  timed_out = 6,
  io_failed = 20,
  wrong_password = 40,
  no_vault = 80
};

static char root[200];

static const char* below(const char* name) {
  static char paths[8][300];
  static int next = 0;
  char* path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", root, name);
  return path;
}

static int remove_entry(const char* path, const struct stat* status, int kind, struct FTW* where) {
  (void) status;
  (void) kind;
  (void) where;
  return remove(path);
}

/* -- callbacks ------------------------------------------------------------------ */

struct text {
  unsigned char* data;
  size_t size;
  size_t at;
};

static int64_t read_text(void* context, void* out, size_t size) {
  struct text* text = context;
  size_t count = text->size - text->at;
  count = count < size ? count : size;
  count = count < 70001 ? count : 70001;
  memcpy(out, text->data + text->at, count);
  text->at += count;
  return (int64_t) count;
}

static int64_t read_nothing_but_failure(void* context, void* out, size_t size) {
  (void) context;
  (void) out;
  (void) size;
  return -1;
}

static int64_t cancel_and_go_on(void* context, void* out, size_t size) {
  datamesh_cancel_now(context);
  memset(out, 'x', size);
  return (int64_t) size;
}

static int64_t never_ends(void* context, void* out, size_t size) {
  (void) context;
  memset(out, 'x', size);
  return (int64_t) size;
}

static int write_text(void* context, const void* data, size_t size) {
  struct text* text = context;
  REQUIRE(text->at + size <= text->size);
  memcpy(text->data + text->at, data, size);
  text->at += size;
  return 0;
}

static int write_nothing_but_failure(void* context, const void* data, size_t size) {
  (void) context;
  (void) data;
  (void) size;
  return 1;
}

static int count_entry(void* context, const datamesh_entry* entry) {
  REQUIRE(entry->struct_size == sizeof *entry);
  REQUIRE(entry->path[0] == '/');
  ++*(int*) context;
  return 0;
}

static int stop_at_once(void* context, const datamesh_entry* entry) {
  (void) entry;
  ++*(int*) context;
  return 1;
}

static int take_size(void* context, const datamesh_entry* entry) {
  *(uint64_t*) context = entry->size;
  return 0;
}

static int count_good_drive(void* context, const datamesh_drive* drive) {
  *(int*) context += strcmp(drive->state, "ok") == 0 && strlen(drive->id) == 32;
  return 0;
}

static void count_failure(void* context, const char* path, int code, const char* message) {
  REQUIRE(strlen(path) > 0 && code != 0 && strlen(message) > 0);
  ++*(int*) context;
}

static void check_event(void* context, const datamesh_event* event) {
  uint64_t* last = context;
  REQUIRE(event->sequence == *last + 1);
  *last = event->sequence;
}

/* -- parts of the test -------------------------------------------------------------- */

static void errors_have_names(void) {
  REQUIRE(strcmp(datamesh_code_name(wrong_password), "DM-WRONG-PASSWORD") == 0);
  REQUIRE(strlen(datamesh_code_title(wrong_password)) > 0);
  REQUIRE(strlen(datamesh_code_suggestion(wrong_password)) > 0);
  REQUIRE(strcmp(datamesh_code_name(0), "") == 0);
  REQUIRE(strcmp(datamesh_code_title(65535), "") == 0);
  REQUIRE(datamesh_error_code(NULL) == 0);
  REQUIRE(strcmp(datamesh_error_message(NULL), "") == 0);
  datamesh_error_free(NULL);
  datamesh_free(NULL);
  datamesh_cancel_free(NULL);
  datamesh_vault_close(NULL);
  datamesh_node_close(NULL);
}

static void streams_come_back(datamesh_vault* vault) {
  datamesh_error* why = NULL;
  size_t size = 3000017;
  struct text in = {malloc(size), size, 0};
  struct text out = {malloc(size), size, 0};
  REQUIRE(in.data != NULL && out.data != NULL);
  uint32_t state = 1;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525u + 1013904223u;
    in.data[i] = (unsigned char) (state >> 24);
  }
  datamesh_put_summary stored = {.struct_size = sizeof stored};
  NEED(datamesh_put_stream(vault, read_text, &in, "/stream", DATAMESH_FAIL, NULL, &stored, &why));
  REQUIRE(stored.files == 1 && stored.bytes == size && stored.shards_short == 0);
  datamesh_get_summary fetched = {.struct_size = sizeof fetched};
  NEED(datamesh_get_stream(vault, "/stream", 0, UINT64_MAX, write_text, &out, NULL, &fetched, &why));
  REQUIRE(fetched.bytes == size && out.at == size && memcmp(in.data, out.data, size) == 0);
  REQUIRE(stored.elapsed_ns > 0 && stored.limiting_ns <= stored.elapsed_ns && stored.limiting <= DATAMESH_STAGE_CATALOG);
  REQUIRE(fetched.elapsed_ns > 0 && fetched.limiting_ns <= fetched.elapsed_ns && fetched.limiting <= DATAMESH_STAGE_TARGET);
  out.at = 0;
  NEED(datamesh_get_stream(vault, "/stream", 1000000, 5, write_text, &out, NULL, NULL, &why));
  REQUIRE(out.at == 5 && memcmp(in.data + 1000000, out.data, 5) == 0);
  REFUSED(datamesh_put_stream(vault, read_text, &in, "/stream", DATAMESH_FAIL, NULL, NULL, &why), already_exists);
  REFUSED(datamesh_put_stream(vault, read_nothing_but_failure, NULL, "/bad", DATAMESH_FAIL, NULL, NULL, &why), io_failed);
  REFUSED(datamesh_get_stream(vault, "/stream", 0, UINT64_MAX, write_nothing_but_failure, NULL, NULL, NULL, &why), io_failed);
  REFUSED(datamesh_get_stream(vault, "/none", 0, UINT64_MAX, write_text, &out, NULL, NULL, &why), not_found);
  free(in.data);
  free(out.data);
}

static void paths_come_back(datamesh_vault* vault) {
  datamesh_error* why = NULL;
  FILE* file = fopen(below("note.txt"), "wb");
  REQUIRE(file != NULL && fputs("from C", file) >= 0 && fclose(file) == 0);
  int failures = 0;
  datamesh_job_options job = {sizeof job, NULL, 0, 7, count_failure, &failures};
  NEED(datamesh_put(vault, below("note.txt"), "/papers/note.txt", DATAMESH_VERSION, &job, NULL, &why));
  REQUIRE(failures == 0);
  datamesh_put_summary stored = {.struct_size = sizeof stored};
  NEED(datamesh_put(vault, below("no-such-file"), "/papers/none", DATAMESH_VERSION, &job, &stored, &why));
  REQUIRE(failures == 1 && stored.failure_count == 1 && stored.files == 0);
  NEED(datamesh_get(vault, "/papers/note.txt", root, "back.txt", 0, NULL, NULL, &why));
  REFUSED(datamesh_get(vault, "/papers/note.txt", root, "back.txt", 0, NULL, NULL, &why), already_exists);
  NEED(datamesh_get(vault, "/papers/note.txt", root, "back.txt", 1, NULL, NULL, &why));
  char text[20] = {0};
  file = fopen(below("back.txt"), "rb");
  REQUIRE(file != NULL && fread(text, 1, sizeof text, file) == 6 && fclose(file) == 0 && strcmp(text, "from C") == 0);
  /* A program built before the last members were added. */
  struct {
    size_t struct_size;
    uint64_t files;
    uint64_t untouched;
  } old = {2 * sizeof(uint64_t), 0, 99};
  NEED(datamesh_get(vault, "/papers", root, "papers", 0, NULL, (datamesh_get_summary*) &old, &why));
  REQUIRE(old.files == 1 && old.untouched == 99 && old.struct_size == 2 * sizeof(uint64_t));
}

static void names_are_kept(datamesh_vault* vault) {
  datamesh_error* why = NULL;
  int count = 0;
  NEED(datamesh_list(vault, "/", 1, count_entry, &count, &why));
  REQUIRE(count == 3);
  count = 0;
  NEED(datamesh_list(vault, "/", 1, stop_at_once, &count, &why));
  REQUIRE(count == 1);
  uint64_t size = 0;
  NEED(datamesh_info(vault, "/papers/note.txt", take_size, &size, &why));
  REQUIRE(size == 6);
  NEED(datamesh_make_folder(vault, "/old", &why));
  NEED(datamesh_move(vault, "/papers/note.txt", "/old/letter.txt", DATAMESH_FAIL, &why));
  REFUSED(datamesh_info(vault, "/papers/note.txt", take_size, &size, &why), not_found);
  NEED(datamesh_remove(vault, "/old", 1, &why));
  REFUSED(datamesh_list(vault, "/old", 0, count_entry, &count, &why), not_found);
  NEED(datamesh_flush(vault, &why));
}

static void jobs_are_steered(datamesh_vault* vault) {
  datamesh_error* why = NULL;
  datamesh_cancel* cancel = datamesh_cancel_new();
  datamesh_job_options job = {sizeof job, cancel, 0, 0, NULL, NULL};
  REFUSED(datamesh_put_stream(vault, cancel_and_go_on, cancel, "/endless", DATAMESH_FAIL, &job, NULL, &why), cancelled);
  datamesh_cancel_free(cancel);
  job.cancel = NULL;
  job.timeout_ms = 50;
  REFUSED(datamesh_put_stream(vault, never_ends, NULL, "/endless", DATAMESH_FAIL, &job, NULL, &why), timed_out);
}

static void care_is_taken(datamesh_vault* vault) {
  datamesh_error* why = NULL;
  char* answer = NULL;
  char* sentence = NULL;
  char* policy = NULL;
  NEED(datamesh_status(vault, &answer, &sentence, &policy, &why));
  REQUIRE(strcmp(answer, "safe") == 0 && strlen(sentence) > 0 && strcmp(policy, "2+1") == 0);
  datamesh_free(answer);
  datamesh_free(sentence);
  datamesh_free(policy);
  NEED(datamesh_status(vault, NULL, NULL, NULL, &why));
  datamesh_verify_summary found = {.struct_size = sizeof found};
  NEED(datamesh_verify(vault, 1, 1, NULL, &found, &why));
  REQUIRE(found.packs > 0 && found.shards == 3 * found.packs && found.shards_damaged == 0 && found.files_lost == 0);
}

static void nulls_are_refused(datamesh_node* node, datamesh_vault* vault) {
  datamesh_error* why = NULL;
  REFUSED(datamesh_node_open(NULL, NULL, &node, &why), invalid_argument);
  REFUSED(datamesh_node_open(root, NULL, NULL, &why), invalid_argument);
  REFUSED(datamesh_drive_add(node, NULL, &why), invalid_argument);
  REFUSED(datamesh_vault_open(node, "main", DATAMESH_PASSWORD, NULL, &vault, &why), invalid_argument);
  REFUSED(datamesh_vault_open(node, "main", (datamesh_credential) 9, "x", &vault, &why), invalid_argument);
  REFUSED(datamesh_put(vault, NULL, "/x", DATAMESH_FAIL, NULL, NULL, &why), invalid_argument);
  REFUSED(datamesh_put(vault, root, "/x", (datamesh_if_exists) 9, NULL, NULL, &why), invalid_argument);
  REFUSED(datamesh_put_stream(vault, NULL, NULL, "/x", DATAMESH_FAIL, NULL, NULL, &why), invalid_argument);
  REFUSED(datamesh_get(vault, NULL, root, NULL, 0, NULL, NULL, &why), invalid_argument);
  REFUSED(datamesh_get_stream(NULL, "/x", 0, 1, write_text, NULL, NULL, NULL, &why), invalid_argument);
  REFUSED(datamesh_list(vault, "/", 0, NULL, NULL, &why), invalid_argument);
  /* Who does not ask why is answered all the same. */
  REQUIRE(datamesh_flush(NULL, NULL) == invalid_argument);
}

int main(void) {
  const char* temporary = getenv("TMPDIR");
  snprintf(root, sizeof root, "%s/datamesh-c-XXXXXX", temporary != NULL ? temporary : "/tmp");
  REQUIRE(mkdtemp(root) != NULL);
  REQUIRE(strlen(datamesh_version()) >= 5);
  errors_have_names();

  datamesh_error* why = NULL;
  datamesh_node* node = NULL;
  uint64_t last_event = 0;
  datamesh_node_options options = {sizeof options, 64u << 20, 2, -1, check_event, &last_event};
  REFUSED(datamesh_node_open(below("home"), NULL, &node, &why), no_vault);
  REQUIRE(node == NULL);
  NEED(datamesh_node_create(below("home"), &options, &node, &why));
  NEED(datamesh_drive_add(node, below("drive1"), &why));
  NEED(datamesh_drive_add(node, below("drive2"), &why));
  NEED(datamesh_drive_add(node, below("drive3"), &why));
  REFUSED(datamesh_drive_add(node, below("drive3"), &why), already_exists);
  int drives = 0;
  NEED(datamesh_drive_list(node, count_good_drive, &drives, &why));
  REQUIRE(drives == 3);
  char* phrase = NULL;
  NEED(datamesh_vault_create(node, "main", NULL, 1, &phrase, &why));
  datamesh_vault* vault = NULL;
  NEED(datamesh_vault_open(node, "main", DATAMESH_RECOVERY_PHRASE, phrase, &vault, &why));
  datamesh_vault_close(vault);
  datamesh_free(phrase);
  vault = NULL;
  REFUSED(datamesh_vault_open(node, "other", DATAMESH_THIS_DEVICE, NULL, &vault, &why), no_vault);
  REQUIRE(vault == NULL);
  NEED(datamesh_vault_open(node, "main", DATAMESH_THIS_DEVICE, NULL, &vault, &why));
  streams_come_back(vault);
  paths_come_back(vault);
  names_are_kept(vault);
  jobs_are_steered(vault);
  care_is_taken(vault);
  nulls_are_refused(node, vault);
  datamesh_vault_close(vault);
  datamesh_node_close(node);
  REQUIRE(last_event > 0);
  REQUIRE(nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
  puts("the C layer holds");
  return 0;
}
