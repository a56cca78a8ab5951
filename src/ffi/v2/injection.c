/* The calls of libinjection, whose header is not among those of the engine. */
#include "shim.h"

int libinjection_sqli(const char *input, size_t length, char fingerprint[8]);
int libinjection_xss(const char *input, size_t length);

int ms2_is_sqli(ms2_bytes value) {
    char fingerprint[8];
    return libinjection_sqli(value.start, value.length, fingerprint) != 0;
}

int ms2_is_xss(ms2_bytes value) { return libinjection_xss(value.start, value.length) != 0; }
