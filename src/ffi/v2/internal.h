/* What the C files of this folder share. */
#ifndef MODSECURITY_SPOA_FFI_V2_INTERNAL_H
#define MODSECURITY_SPOA_FFI_V2_INTERNAL_H

#include <apr_strings.h>

#include "api.h"
#include "re.h"
#include "shim.h"

/* Everything of one thread's transactions comes from one allocator: what a transaction gives back the next one takes. */
struct ms2_arena {
    apr_allocator_t *allocator;
    apr_pool_t *root;
};

struct ms2_transaction {
    ms2_arena *arena;
    apr_pool_t *pool;
    conn_rec *connection;
    request_rec *request;
    /* The engine's own record, from phase 1 on. */
    modsec_rec *msr;
    size_t body_length;
    const char *path; /* decoded */
    apr_table_t *tx;
    apr_array_header_t *ignored; /* const char * */
    apr_array_header_t *matches; /* ms2_match */
    int status;                  /* of the intervention */
    const char *trouble;         /* the last thing that the engine had to say, alerts aside */
};

/* The transaction that this thread is in, during a call into the engine. */
extern _Thread_local ms2_transaction *ms2_current;

/* For apr_socket_close: what a `drop` finds as the client's socket. */
extern char ms2_no_socket;

/* Has rules see REQUEST_FILENAME and REQUEST_BASENAME decoded; once, before rules are loaded. */
void ms2_decode_names(void);

void ms2_say(ms2_error *error, const char *text);

/* What the engine tells Apache's error log. */
void ms2_log(void *context, int level, char *text);

/* Text that is set, as the engine's configuration marks it. */
int ms2_is_set(const char *text);

#endif
