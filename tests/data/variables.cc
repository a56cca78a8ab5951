// What rules of libmodsecurity 3 see of requests, for tests/differential: each request goes through the program's own shim
// (src/ffi/v3/shim.cc), and its variables are printed after phase 1 and after phase 2.
//
//   variables RULES <requests >variables
//
// A request is method, URI, version, the decoded path where the agent restores it (else empty), body, the number of headers
// as text, and name and value of each. An answer is the number of the body's parser, then twice a list: variable, member and
// value of each, and an empty text at its end. Each text is that many bytes after a number of four bytes, highest first.
#include "../../src/ffi/v3/shim.cc"

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace {

bool next(std::string *text) {
    unsigned char length[4];
    if (std::fread(length, 1, 4, stdin) != 4) {
        return false;
    }
    text->resize(size_t{length[0]} << 24 | size_t{length[1]} << 16 | size_t{length[2]} << 8 | length[3]);
    return std::fread(text->data(), 1, text->size(), stdin) == text->size();
}

void put(const std::string &text) {
    for (const int shift : {24, 16, 8, 0}) {
        std::putchar(static_cast<int>(text.size() >> shift & 0xFF));
    }
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void put_set(modsecurity::AnchoredSetVariable &variable) {
    for (const auto &member : variable) {
        put(variable.m_name);
        put(member.first);
        put(member.second->getValue());
    }
}

void put_all(Transaction *t) {
    for (modsecurity::AnchoredVariable *variable :
         {&t->m_variableARGScombinedSize, &t->m_variableFilesCombinedSize, &t->m_variableMultipartStrictError,
          &t->m_variableMultipartUnmatchedBoundary, &t->m_variableQueryString, &t->m_variableReqbodyError,
          &t->m_variableReqbodyProcessor, &t->m_variableReqbodyProcessorError, &t->m_variableRequestBasename,
          &t->m_variableRequestBody, &t->m_variableRequestBodyLength, &t->m_variableRequestFilename,
          &t->m_variableRequestLine, &t->m_variableRequestMethod, &t->m_variableRequestProtocol,
          &t->m_variableRequestURI, &t->m_variableRequestURIRaw, &t->m_variableUrlEncodedError}) {
        put(variable->m_name);
        put("");
        put(variable->m_value);
    }
    for (modsecurity::AnchoredSetVariable *variable :
         {&t->m_variableArgs, &t->m_variableArgsGet, &t->m_variableArgsPost, &t->m_variableFiles,
          &t->m_variableFilesNames, &t->m_variableMultipartPartHeaders, &t->m_variableRequestCookies,
          &t->m_variableRequestCookiesNames, &t->m_variableRequestHeaders, &t->m_variableRequestHeadersNames}) {
        put_set(*variable);
    }
    put("");
}

mss_bytes bytes(const std::string &text) { return {text.data(), text.size()}; }

}  // namespace

int main(int count, char **arguments) {
    mss_error error = {};
    ModSecurity *engine = modsecurity::msc_init();
    mss_silence(engine);
    RulesSet *rules = modsecurity::msc_create_rules_set();
    if (count != 2 || mss_rules_add_file(rules, arguments[1], &error) != 0) {
        std::fprintf(stderr, "variables: %s\n", error.text);
        return 1;
    }
    std::string method, uri, version, path, body, headers, name, value;
    while (next(&method) && next(&uri) && next(&version) && next(&path) && next(&body) && next(&headers)) {
        Transaction *transaction = mss_transaction_new(engine, rules, "id", &error);
        mss_process_connection(transaction, "192.0.2.1", 1, "192.0.2.2", 2, &error);
        mss_process_uri(transaction, uri.c_str(), method.c_str(), version.c_str(), &error);
        if (!path.empty()) {
            mss_restore_path(transaction, bytes(path), &error);
        }
        for (int i = std::stoi(headers); i > 0 && next(&name) && next(&value); i--) {
            mss_add_request_header(transaction, bytes(name), bytes(value), &error);
        }
        mss_process_request_headers(transaction, &error);
        put(std::to_string(mss_body_processor(transaction, &error)));
        put_all(transaction);
        if (!body.empty()) {
            mss_append_request_body(transaction, bytes(body), &error);
        }
        mss_process_request_body(transaction, &error);
        put_all(transaction);
        std::fflush(stdout);
        modsecurity::msc_transaction_cleanup(transaction);
    }
}
