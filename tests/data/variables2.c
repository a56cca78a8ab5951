// What rules of ModSecurity 2.9 see of requests, for tests/differential: each request goes through the program's own shim
// (the C files of src/ffi/v2), and its variables are printed after phase 1 and after phase 2.
//
//   variables2 RULES <requests >variables
//
// A request is method, URI, version, a text that is for the other program, body, the number of headers as text, and name
// and value of each. An answer is the number of the body's parser, then twice a list: variable, member and value of each,
// and an empty text at its end. Each text is that many bytes after a number of four bytes, highest first.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "msc_multipart.h"

extern msc_engine *modsecurity;

static int next(ms2_bytes *text) {
    unsigned char size[4];
    if (fread(size, 1, 4, stdin) != 4) {
        return 0;
    }
    text->length = (size_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
    char *start = calloc(1, text->length + 1);
    text->start = start;
    return fread(start, 1, text->length, stdin) == text->length;
}

static void put(const char *text, size_t length) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        putchar((int)(length >> shift & 0xFF));
    }
    fwrite(text, 1, length, stdout);
}

static void put_text(const char *text) { put(text, strlen(text)); }

static void member(const char *variable, const char *name, size_t name_length, const char *value, size_t length) {
    put_text(variable);
    put(name, name_length);
    put(value, length);
}

static void put_scalar(modsec_rec *msr, const char *name) {
    msre_var_metadata *metadata = msre_resolve_var(modsecurity->msre, name);
    msre_var variable = {0};
    variable.name = apr_pstrdup(msr->mp, name);
    variable.metadata = metadata;
    apr_table_t *found = apr_table_make(msr->mp, 1);
    metadata->generate(msr, &variable, NULL, found, msr->mp);
    const apr_array_header_t *all = apr_table_elts(found);
    for (int i = 0; i < all->nelts; i++) {
        const msre_var *one = (const msre_var *)APR_ARRAY_IDX(all, i, apr_table_entry_t).val;
        member(name, "", 0, one->value, one->value_len);
    }
}

static void put_table(const apr_table_t *table, const char *name) {
    const apr_array_header_t *all = apr_table_elts(table);
    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t entry = APR_ARRAY_IDX(all, i, apr_table_entry_t);
        member(name, entry.key, strlen(entry.key), entry.val, strlen(entry.val));
    }
}

static void put_all(modsec_rec *msr) {
    static const char *const scalars[] = {
        "ARGS_COMBINED_SIZE", "FILES_COMBINED_SIZE", "MULTIPART_STRICT_ERROR", "MULTIPART_UNMATCHED_BOUNDARY",
        "QUERY_STRING", "REQBODY_ERROR", "REQBODY_PROCESSOR", "REQBODY_PROCESSOR_ERROR", "REQUEST_BASENAME",
        "REQUEST_BODY", "REQUEST_BODY_LENGTH", "REQUEST_FILENAME", "REQUEST_LINE", "REQUEST_METHOD",
        "REQUEST_PROTOCOL", "REQUEST_URI", "REQUEST_URI_RAW", "URLENCODED_ERROR"};
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        put_scalar(msr, scalars[i]);
    }
    const apr_array_header_t *arguments = apr_table_elts(msr->arguments);
    for (int i = 0; i < arguments->nelts; i++) {
        const msc_arg *one = (const msc_arg *)APR_ARRAY_IDX(arguments, i, apr_table_entry_t).val;
        member("ARGS", one->name, one->name_len, one->value, one->value_len);
        if (strcmp(one->origin, "QUERY_STRING") == 0) {
            member("ARGS_GET", one->name, one->name_len, one->value, one->value_len);
        } else if (strcmp(one->origin, "BODY") == 0) {
            member("ARGS_POST", one->name, one->name_len, one->value, one->value_len);
        }
    }
    put_table(msr->request_headers, "REQUEST_HEADERS");
    put_table(msr->request_cookies, "REQUEST_COOKIES");
    const int parts = msr->mpd == NULL ? 0 : msr->mpd->parts->nelts;
    for (int i = 0; i < parts; i++) {
        const multipart_part *part = APR_ARRAY_IDX(msr->mpd->parts, i, multipart_part *);
        const size_t length = strlen(part->name);
        if (part->type == MULTIPART_FILE) {
            member("FILES", part->name, length, part->filename, strlen(part->filename));
            member("FILES_NAMES", part->name, length, part->name, length);
        }
        for (int j = 0; j < part->header_lines->nelts; j++) {
            const char *line = APR_ARRAY_IDX(part->header_lines, j, char *);
            member("MULTIPART_PART_HEADERS", part->name, length, line, strlen(line));
        }
    }
    put_text("");
}

int main(int count, char **arguments) {
    ms2_error error = {{0}};
    if (count != 2 || ms2_init("variables2", &error) != 0) {
        fprintf(stderr, "variables2: %s\n", error.text);
        return 1;
    }
    ms2_rules *rules = ms2_rules_new();
    if (ms2_rules_add_file(rules, arguments[1], 0, &error) != 0) {
        fprintf(stderr, "variables2: %s\n", error.text);
        return 1;
    }
    ms2_begin_process();
    ms2_arena *arena = ms2_arena_new();
    ms2_bytes method, uri, version, unused, body, headers, name, value;
    while (next(&method) && next(&uri) && next(&version) && next(&unused) && next(&body) && next(&headers)) {
        ms2_transaction *transaction = ms2_transaction_new(arena, rules, (ms2_bytes){"id", 2});
        const ms2_bytes client = {"192.0.2.1", 9}, server = {"192.0.2.2", 9};
        ms2_set_connection(transaction, client, 1, server, 2);
        ms2_set_request_line(transaction, method, uri, version);
        for (int i = atoi(headers.start); i > 0 && next(&name) && next(&value); i--) {
            ms2_add_request_header(transaction, name, value);
            free((char *)name.start);
            free((char *)value.start);
        }
        ms2_process_request_headers(transaction, body.length, &error);
        char processor[12];
        snprintf(processor, sizeof processor, "%d", ms2_body_processor(transaction));
        put_text(processor);
        // The variables of the path are made for the transaction of the call into the engine.
        ms2_current = transaction;
        put_all(transaction->msr);
        ms2_current = NULL;
        ms2_process_request_body(transaction, body, &error);
        ms2_current = transaction;
        put_all(transaction->msr);
        ms2_current = NULL;
        fflush(stdout);
        ms2_transaction_free(transaction);
        const ms2_bytes all[] = {method, uri, version, unused, body, headers};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            free((char *)all[i].start);
        }
    }
    return 0;
}
