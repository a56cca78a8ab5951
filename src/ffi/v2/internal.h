/* What the C files of this folder share. */
#ifndef MODSECURITY_SPOA_FFI_V2_INTERNAL_H
#define MODSECURITY_SPOA_FFI_V2_INTERNAL_H

#include <apr_strings.h>

#include "api.h"
#include "re.h"
#include "shim.h"

/* The allocator of all transactions of one thread: memory that one transaction frees serves the next. */
struct ms2_arena {
    apr_allocator_t *allocator;
    apr_pool_t *root;
};

struct ms2_transaction {
    ms2_arena *arena;
    apr_pool_t *pool;
    conn_rec *connection;
    request_rec *request;
    /* The engine's own record of the transaction; NULL before phase 1. */
    modsec_rec *msr;
    size_t body_length;
    const char *path; /* decoded */
    apr_table_t *tx;
    apr_array_header_t *ignored; /* const char * */
    apr_array_header_t *matches; /* ms2_match */
    int status;                  /* of the intervention */
    const char *complaint;       /* the last text of the engine for Apache's error log, except alerts */
    const char *lost_record;     /* what the engine has said of an audit record that it could not write */
};

/* The transaction of the call into the engine that runs on this thread; NULL outside of such a call. */
extern _Thread_local ms2_transaction *ms2_current;

/* The placeholder that a `drop` finds as the client's socket (apr_socket_close in wraps.c). */
extern char ms2_no_socket;

/* Makes the engine decode REQUEST_FILENAME and REQUEST_BASENAME for rules. Once, before rules are loaded. */
void ms2_decode_names(void);

/* Writes the text of an error, cut to fit. */
void ms2_say(ms2_error *error, const char *text);

/* The engine's hook for lines to Apache's error log. Keeps the last one as the transaction's complaint. */
void ms2_log(void *context, int level, char *text);

/* Whether a text of the engine's configuration is set: neither NULL nor the engine's mark for "not set". */
int ms2_is_set(const char *text);

#endif
