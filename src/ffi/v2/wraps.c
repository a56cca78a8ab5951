/*
 * Functions that replace those which the engine calls: the linker sends calls of NAME to __wrap_NAME, and __real_NAME
 * is the original (ld --wrap; build.rs has the list). The comment of each says what the original would do.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_global_mutex.h>
#include <apr_portable.h>

#include "internal.h"

/*
 * Memory. The engine makes an allocator for each transaction and lets it keep 1 KiB, so that each block of memory costs
 * one mmap and one munmap: most of the time of a request. Here all transactions of a thread get one allocator, which
 * stays.
 */

apr_status_t __wrap_apr_allocator_create(apr_allocator_t **allocator) {
    *allocator = ms2_current->arena->allocator;
    return APR_SUCCESS;
}

void __wrap_apr_allocator_destroy(apr_allocator_t *allocator) { (void)allocator; }

void __wrap_apr_allocator_max_free_set(apr_allocator_t *allocator, apr_size_t size) {
    (void)allocator;
    (void)size;
}

/* The original lets the pool destroy the allocator at the pool's end; this allocator outlives the pool. */
void __wrap_apr_allocator_owner_set(apr_allocator_t *allocator, apr_pool_t *pool) {
    (void)allocator;
    (void)pool;
}

/*
 * Settings. Before phase 2 the engine merges its settings with those that rules have changed (`ctl`). For that it
 * copies the list of all rules, one by one, without the excluded ones. `ctl:ruleRemoveById` keeps its exclusions in
 * another list, so the copy is identical. Here the list is not copied when no rule is excluded or added.
 */

void *__real_merge_directory_configs(apr_pool_t *pool, void *parent, void *child);

void *__wrap_merge_directory_configs(apr_pool_t *pool, void *parent, void *child) {
    directory_config *before = parent;
    const directory_config *changes = child;
    msre_ruleset *rules = before->ruleset;
    const int stay = ms2_current != NULL && rules != NULL && changes->ruleset == NULL &&
                     changes->rule_inheritance != 0 && changes->rule_exceptions->nelts == 0;
    if (!stay) {
        return __real_merge_directory_configs(pool, parent, child);
    }
    /* These settings belong to the transaction, so changing them for the moment of the call is seen by no one else. */
    before->ruleset = NULL;
    directory_config *merged = __real_merge_directory_configs(pool, parent, child);
    before->ruleset = rules;
    if (merged != NULL) {
        merged->ruleset = rules;
    }
    return merged;
}

/*
 * The action `drop`. The engine closes the client's socket, which it looks up in a table that standalone hosts do not
 * have: it would follow a NULL pointer. Here it finds a placeholder, and closing that does nothing: the caller is told
 * to drop.
 */

apr_status_t __real_apr_socket_close(apr_socket_t *socket);

apr_status_t __wrap_apr_socket_close(apr_socket_t *socket) {
    return (void *)socket == &ms2_no_socket ? APR_SUCCESS : __real_apr_socket_close(socket);
}

/* The host name that the client asked for. The original of the standalone engine returns a constant. */
const char *__wrap_ap_get_server_name(request_rec *request) {
    return request->hostname != NULL ? request->hostname : "";
}

/* The start of a transaction, before its first phase. */

apr_status_t __real_modsecurity_tx_init(modsec_rec *msr);

apr_status_t __wrap_modsecurity_tx_init(modsec_rec *msr) {
    ms2_transaction *transaction = ms2_current;
    transaction->msr = msr;
    apr_status_t done = __real_modsecurity_tx_init(msr);
    if (done < 0) {
        return done;
    }
    /*
     * The engine ignores a body that neither Content-Length nor Transfer-Encoding announces, which HTTP/2 allows, and
     * refuses one whose announced length is above its limit. Here the length of the body that came counts.
     */
    if (transaction->body_length > 0) {
        msr->reqbody_should_exist = 1;
    }
    if (msr->request_content_length >= 0) {
        msr->request_content_length = (apr_off_t)transaction->body_length;
    }
    const apr_array_header_t *variables = apr_table_elts(transaction->tx);
    for (int i = 0; i < variables->nelts; i++) {
        const apr_table_entry_t entry = APR_ARRAY_IDX(variables, i, apr_table_entry_t);
        msc_string *variable = apr_pcalloc(msr->mp, sizeof *variable);
        variable->name = entry.key;
        variable->name_len = strlen(entry.key);
        variable->value = entry.val;
        variable->value_len = strlen(entry.val);
        apr_table_setn(msr->tx_vars, variable->name, (char *)variable);
    }
    apr_array_cat(msr->removed_rules, transaction->ignored);
    return done;
}

/*
 * The end of a body. When the end cannot be parsed, the engine gives up with status 500, without phase 2, and even with
 * detection only. It has set REQBODY_ERROR by then, so here phase 2 runs and rules decide, as they do on an error
 * further up in the body. Above SecRequestBodyNoFilesLimit the engine refuses the request with 413, also with detection
 * only: here, with detection only, rules see the part of the body below the limit.
 */

/* The engine's return value for a body above SecRequestBodyNoFilesLimit. */
#define ABOVE_LIMIT (-5)

apr_status_t __real_modsecurity_request_body_end(modsec_rec *msr, char **error);

apr_status_t __wrap_modsecurity_request_body_end(modsec_rec *msr, char **error) {
    apr_status_t done = __real_modsecurity_request_body_end(msr, error);
    const int is_unreadable = done == -1 && msr->msc_reqbody_error == 1;
    const int is_only_detected = done == ABOVE_LIMIT && msr->txcfg->is_enabled == MODSEC_DETECTION_ONLY;
    return is_unreadable || is_only_detected ? 1 : done;
}

/*
 * An alert: a rule has matched, and is about to be logged at this level. The original only logs a text; here the match
 * is kept.
 */

void __real_msc_alert(modsec_rec *msr, int level, msre_actionset *actions, const char *action, const char *message);

/* Expands the macros in a text of a rule. */
static ms2_bytes expand(modsec_rec *msr, const char *text) {
    msc_string expanded = {0};
    if (!ms2_is_set(text)) {
        return (ms2_bytes){NULL, 0};
    }
    expanded.value = apr_pstrdup(msr->mp, text);
    expanded.value_len = strlen(text);
    expand_macros(msr, &expanded, NULL, msr->mp);
    return (ms2_bytes){expanded.value, expanded.value_len};
}

static ms2_bytes tags(modsec_rec *msr, const msre_actionset *actions) {
    const apr_array_header_t *all = apr_table_elts(actions->actions);
    const char *joined = NULL;
    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t entry = APR_ARRAY_IDX(all, i, apr_table_entry_t);
        const msre_action *action = (const msre_action *)entry.val;
        if (strcmp(entry.key, "tag") != 0 || action->param == NULL) {
            continue;
        }
        ms2_bytes tag = expand(msr, action->param);
        const char *one = apr_pstrmemdup(msr->mp, tag.start, tag.length);
        joined = joined == NULL ? one : apr_pstrcat(msr->mp, joined, ",", one, NULL);
    }
    return (ms2_bytes){joined, joined == NULL ? 0 : strlen(joined)};
}

/* Alerts of rules with `nolog` have a level above this one, and are for the debug log only. */
#define MOST_VERBOSE_ALERT 3

void __wrap_msc_alert(modsec_rec *msr, int level, msre_actionset *actions, const char *action, const char *message) {
    ms2_transaction *transaction = ms2_current;
    if (level <= MOST_VERBOSE_ALERT && ms2_is_set(actions->id)) {
        ms2_match *match = apr_array_push(transaction->matches);
        *match = (ms2_match){0};
        match->rule = atoll(actions->id);
        match->phase = (int)msr->phase;
        match->disruptive = msr->was_intercepted && strcmp(action, "Warning.") != 0;
        match->drops = actions->intercept_action == ACTION_DROP;
        match->severity = actions->severity >= 0 ? actions->severity : -1;
        if (actions->rule != NULL && actions->rule != NOT_SET_P) {
            const char *file = actions->rule->filename;
            match->line = actions->rule->line_num;
            match->file = (ms2_bytes){file, file == NULL ? 0 : strlen(file)};
        }
        match->message = expand(msr, actions->msg);
        match->data = expand(msr, actions->logdata);
        match->tags = tags(msr, actions);
    }
    const char *complaint = transaction->complaint;
    __real_msc_alert(msr, level, actions, action, message);
    transaction->complaint = complaint;
}

/*
 * Locks. The engine asks APR for locks of APR's default kind, which on some systems do not exclude other processes, and
 * stay locked when their holder is killed. Here they are record locks (fcntl(2)), which the system releases, and a
 * mutex between the threads of one process.
 *
 * The audit log is locked by its own file, as engines of two zygotes write to it after a reload. Geographical databases
 * are locked by a file in memory, as only the processes of one zygote share the offset of the descriptor.
 */

struct apr_global_mutex_t {
    pthread_mutex_t threads;
    int file;
};

apr_status_t __wrap_apr_global_mutex_create(apr_global_mutex_t **mutex, const char *name, apr_lockmech_e kind,
                                            apr_pool_t *pool) {
    (void)name;
    (void)kind;
    *mutex = apr_pcalloc(pool, sizeof **mutex);
    pthread_mutex_init(&(*mutex)->threads, NULL);
    (*mutex)->file = memfd_create("modsecurity-lock", MFD_CLOEXEC);
    return (*mutex)->file < 0 ? errno : APR_SUCCESS;
}

apr_status_t __wrap_apr_global_mutex_child_init(apr_global_mutex_t **mutex, const char *name, apr_pool_t *pool) {
    (void)mutex;
    (void)name;
    (void)pool;
    return APR_SUCCESS;
}

apr_status_t __wrap_ap_unixd_set_global_mutex_perms(apr_global_mutex_t *mutex) {
    (void)mutex;
    return APR_SUCCESS;
}

static int file_of(const apr_global_mutex_t *mutex) {
    const modsec_rec *msr = ms2_current->msr;
    apr_file_t *log = msr->txcfg->auditlog_fd;
    apr_os_file_t file = -1;
    if (mutex == msr->modsecurity->auditlog_lock && log != NULL && log != NOT_SET_P &&
        apr_os_file_get(&file, log) == APR_SUCCESS) {
        return file;
    }
    return mutex->file;
}

static apr_status_t record_lock(int file, short type) {
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    int done;
    do {
        done = fcntl(file, F_SETLKW, &whole);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? errno : APR_SUCCESS;
}

apr_status_t __wrap_apr_global_mutex_lock(apr_global_mutex_t *mutex) {
    pthread_mutex_lock(&mutex->threads);
    return record_lock(file_of(mutex), F_WRLCK);
}

/* The engine also unlocks a mutex that it failed to lock, so the threads' mutex is locked and unlocked in any case. */
apr_status_t __wrap_apr_global_mutex_unlock(apr_global_mutex_t *mutex) {
    apr_status_t done = record_lock(file_of(mutex), F_UNLCK);
    pthread_mutex_unlock(&mutex->threads);
    return done;
}
