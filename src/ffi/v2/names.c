/*
 * REQUEST_FILENAME and REQUEST_BASENAME. Apache decodes the path of a request before phase 2, in the place where the
 * engine looks for it, and rules are written for that: the Core Rule Set's 933151 decodes nothing itself. A standalone
 * engine has the path as the client sent it. Here these two are decoded in every phase, as with libmodsecurity 3;
 * REQUEST_URI and REQUEST_URI_RAW stay as they were sent, so that rules can tell a broken escape from one that has been
 * decoded.
 *
 * Apache would also take dots and doubled slashes out of the path. Rules shall see them.
 */
#include <ctype.h>
#include <string.h>

#include "internal.h"

extern msc_engine *modsecurity;

static int digit(char hex) { return isdigit((unsigned char)hex) ? hex - '0' : (hex | 0x20) - 'a' + 10; }

/* Invalid escapes stay as they are, and so does %00, as the engine would take the path to end there. */
static char *decoded(apr_pool_t *pool, const char *path) {
    char *result = apr_pstrdup(pool, path);
    char *to = result;
    for (const char *from = path; *from != '\0'; from++) {
        const int is_escape = *from == '%' && isxdigit((unsigned char)from[1]) && isxdigit((unsigned char)from[2]);
        const int value = is_escape ? digit(from[1]) << 4 | digit(from[2]) : 0;
        *to++ = value != 0 ? (char)value : *from;
        from += value != 0 ? 2 : 0;
    }
    *to = '\0';
    return result;
}

static const char *path_of(const modsec_rec *msr) {
    ms2_transaction *transaction = ms2_current;
    if (transaction->path == NULL) {
        transaction->path = decoded(transaction->pool, msr->r->parsed_uri.path);
    }
    return transaction->path;
}

static int generate(const msre_var *variable, apr_table_t *table, apr_pool_t *pool, const char *value) {
    msre_var *found = apr_pmemdup(pool, variable, sizeof *variable);
    found->value = value;
    found->value_len = strlen(value);
    apr_table_addn(table, found->name, (char *)found);
    return 1;
}

static int file_name(modsec_rec *msr, msre_var *variable, msre_rule *rule, apr_table_t *table, apr_pool_t *pool) {
    (void)rule;
    return generate(variable, table, pool, path_of(msr));
}

static int base_name(modsec_rec *msr, msre_var *variable, msre_rule *rule, apr_table_t *table, apr_pool_t *pool) {
    (void)rule;
    const char *name = file_basename(pool, path_of(msr));
    return name == NULL ? 0 : generate(variable, table, pool, name);
}

void ms2_decode_names(void) {
    /* The keys of the table are not case-sensitive. */
    apr_table_t *variables = modsecurity->msre->variables;
    ((msre_var_metadata *)apr_table_get(variables, "REQUEST_FILENAME"))->generate = file_name;
    ((msre_var_metadata *)apr_table_get(variables, "REQUEST_BASENAME"))->generate = base_name;
}
