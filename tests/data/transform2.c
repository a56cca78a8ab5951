// The transformations of ModSecurity 2.9 by themselves, one after the other as the engine calls them for a rule, for
// tests/differential.
//
//   transform2 <values >results
//
// A value is the names of the transformations, separated by commas, and the value; a result is what the last one leaves.
// Each is that many bytes after a number of four bytes, highest first.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "api.h"
#include "re.h"

// What the library leaves to its host.
module core_module;
int (*modsecDropAction)(request_rec *request);
int ap_map_http_request_error(apr_status_t error, int status) {
    (void)error;
    return status;
}

static char *next(apr_pool_t *pool, long *length) {
    unsigned char size[4];
    if (fread(size, 1, 4, stdin) != 4) {
        return NULL;
    }
    *length = (long)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
    char *text = apr_pcalloc(pool, *length + 1);
    return fread(text, 1, *length, stdin) == (size_t)*length ? text : NULL;
}

int main(void) {
    apr_pool_t *root = NULL, *pool = NULL;
    apr_initialize();
    apr_pool_create(&root, NULL);
    msre_engine *engine = msre_engine_create(root);
    msre_engine_register_default_tfns(engine);
    apr_pool_create(&pool, root);
    long unused, length;
    char *names, *value;
    while ((names = next(pool, &unused)) != NULL && (value = next(pool, &length)) != NULL) {
        char *rest = NULL;
        value = apr_pstrmemdup(pool, value, length);
        for (char *name = apr_strtok(names, ",", &rest); name != NULL; name = apr_strtok(NULL, ",", &rest)) {
            const msre_tfn_metadata *step = msre_engine_tfn_resolve(engine, name);
            if (step == NULL) {
                fprintf(stderr, "transform2: unknown: %s\n", name);
                return 1;
            }
            char *result = NULL;
            step->execute(pool, (unsigned char *)value, length, &result, &length);
            value = result;
        }
        for (int shift = 24; shift >= 0; shift -= 8) {
            putchar((int)(length >> shift & 0xFF));
        }
        fwrite(value, 1, length, stdout);
        fflush(stdout);
        apr_pool_clear(pool);
    }
    return 0;
}
