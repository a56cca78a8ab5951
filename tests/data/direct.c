// What libmodsecurity says about requests without any agent: its C interface, in the order that its documentation has.
//
//   direct RULES <requests >rules
//
// A request is method, URI, version, body, the number of headers, and name and value of each; a number is four bytes,
// highest first, and everything else is that many bytes after such a number. For each request there is a line with the
// ids of the rules that the engine logged.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

static int next_number(uint32_t *number) {
    unsigned char bytes[4];
    if (fread(bytes, 1, 4, stdin) != 4) {
        return 0;
    }
    *number = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return 1;
}

struct text {
    char *start;
    uint32_t length;
};

static int next_text(struct text *text) {
    if (!next_number(&text->length)) {
        return 0;
    }
    text->start = malloc(text->length + 1);
    text->start[text->length] = '\0';
    return fread(text->start, 1, text->length, stdin) == text->length;
}

// The engine's log line has `[id "942100"]`.
static void log_line(void *data, const void *line) {
    const char *id = strstr(line, "[id \"");
    (void)data;
    if (id != NULL) {
        printf("%ld ", strtol(id + 5, NULL, 10));
    }
}

int main(int count, char **arguments) {
    const char *error = NULL;
    ModSecurity *engine = msc_init();
    RulesSet *rules = msc_create_rules_set();
    struct text method, uri, version, body, name, value;
    uint32_t headers;
    msc_set_log_cb(engine, log_line);
    if (count != 2 || msc_rules_add_file(rules, arguments[1], &error) < 0) {
        fprintf(stderr, "direct: %s\n", error == NULL ? "one argument, a file of rules" : error);
        return 1;
    }
    while (next_text(&method)) {
        Transaction *transaction = msc_new_transaction(engine, rules, NULL);
        if (!next_text(&uri) || !next_text(&version) || !next_text(&body) || !next_number(&headers)) {
            return 1;
        }
        msc_process_connection(transaction, "127.0.0.1", 4711, "127.0.0.1", 80);
        msc_process_uri(transaction, uri.start, method.start, version.start);
        for (; headers > 0 && next_text(&name) && next_text(&value); headers--) {
            msc_add_n_request_header(transaction, (unsigned char *)name.start, name.length,
                                     (unsigned char *)value.start, value.length);
            free(name.start);
            free(value.start);
        }
        msc_process_request_headers(transaction);
        msc_append_request_body(transaction, (unsigned char *)body.start, body.length);
        msc_process_request_body(transaction);
        msc_process_logging(transaction);
        msc_transaction_cleanup(transaction);
        free(method.start);
        free(uri.start);
        free(version.start);
        free(body.start);
        puts("");
    }
    return 0;
}
