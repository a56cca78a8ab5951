// The same faults as in faults.cc, which this is linked with, in ModSecurity 2.9. That is a part of the program, but the
// library that it is built on, APR, is not: the call that takes the place of another here adds an entry to a table, which
// each header goes through.
//
// `x-fault: drop` does nothing by itself: it takes away again what the program supplies so that the action `drop` does not
// follow a NULL pointer, as it does upstream. A rule with that action does the rest.

#include <dlfcn.h>
#include <string.h>

#include <apr_tables.h>

#include "modsecurity.h"

void fault(const char *kind);
void fault_late(void);
void fault_while(void);

static _Thread_local int drops;

typedef void (*set_entry)(apr_table_t *, const char *, const char *);

void apr_table_addn(apr_table_t *table, const char *key, const char *value) {
    set_entry own = (set_entry)dlsym(RTLD_NEXT, "apr_table_addn");
    if (strcmp(key, "x-fault") == 0) {
        drops = strcmp(value, "drop") == 0;
        if (!drops) {
            fault(value);
        }
    }
    // Every request has it, and no rule.
    if (strcmp(key, "host") == 0) {
        fault_late();
        fault_while();
    }
    own(table, key, value);
}

// The engine notes its own record of a request where it is found again.
void apr_table_setn(apr_table_t *table, const char *key, const char *value) {
    set_entry own = (set_entry)dlsym(RTLD_NEXT, "apr_table_setn");
    if (drops && strcmp(key, NOTE_MSR) == 0) {
        drops = 0;
        ((const modsec_rec *)(const void *)value)->r->connection->conn_config = NULL;
    }
    own(table, key, value);
}
