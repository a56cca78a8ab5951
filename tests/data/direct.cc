// libmodsecurity without the agent: what the engine itself makes of a request, for tests/differential.
//
//   direct RULE-FILE...
//
// Reads requests from standard input and writes one line for each to standard output:
//
//   request   netstrings (`3:abc,`): id, client address, client port, server address, server port, uri, method, version,
//             mark (`1`: sets TX:body_truncated, which the public C API cannot), body, number of headers, and a name and
//             a value for each
//   line      status (0: none), address of a redirect or `-`, anomaly score or `-`, ids of the rules that matched, each
//             once, in their order, separated by commas, or `-`; or `exception` and its text
//
// It shares no code with the agent, and calls libmodsecurity's C API in the order that its own connectors do.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rule_message.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

using namespace modsecurity;

namespace {

// The next netstring; false at the end of the input.
bool next(std::string *text) {
    size_t length = 0;
    if (!(std::cin >> length) || std::cin.get() != ':') {
        return false;
    }
    text->resize(length);
    std::cin.read(text->data(), static_cast<std::streamsize>(length));
    return std::cin.get() == ',';
}

std::string take() {
    std::string text;
    if (!next(&text)) {
        std::cerr << "direct: the request is not whole\n";
        std::exit(2);
    }
    return text;
}

const unsigned char *bytes(const std::string &text) { return reinterpret_cast<const unsigned char *>(text.data()); }

struct Denial {
    int status = 0;
    std::string url = "-";
};

// Whether the engine intervenes now.
bool denies(Transaction *transaction, Denial *denial) {
    ModSecurityIntervention found;
    std::memset(&found, 0, sizeof found);
    found.status = 200;
    if (msc_intervention(transaction, &found) == 0) {
        return false;
    }
    denial->status = found.status;
    if (found.url != nullptr) {
        denial->url = found.url;
    }
    std::free(found.url);
    std::free(found.log);
    return true;
}

Denial inspect(Transaction *transaction) {
    const std::string client = take(), client_port = take(), server = take(), server_port = take();
    const std::string uri = take(), method = take(), version = take(), mark = take(), body = take();
    std::vector<std::pair<std::string, std::string>> headers(std::stoul(take()));
    for (auto &header : headers) {
        header.first = take();
        header.second = take();
    }
    if (mark == "1") {
        transaction->m_collections.m_tx_collection->storeOrUpdateFirst("body_truncated", "1");
    }
    Denial denial;
    msc_process_connection(transaction, client.c_str(), std::stoi(client_port), server.c_str(), std::stoi(server_port));
    if (denies(transaction, &denial)) {
        return denial;
    }
    msc_process_uri(transaction, uri.c_str(), method.c_str(), version.c_str());
    if (denies(transaction, &denial)) {
        return denial;
    }
    for (const auto &[name, value] : headers) {
        msc_add_n_request_header(transaction, bytes(name), name.size(), bytes(value), value.size());
    }
    msc_process_request_headers(transaction);
    if (denies(transaction, &denial)) {
        return denial;
    }
    if (!body.empty()) {
        msc_append_request_body(transaction, bytes(body), body.size());
        if (denies(transaction, &denial)) {
            return denial;
        }
    }
    msc_process_request_body(transaction);
    denies(transaction, &denial);
    return denial;
}

std::string score(Transaction *transaction) {
    for (const char *name : {"blocking_inbound_anomaly_score", "anomaly_score"}) {
        const auto value = transaction->m_collections.m_tx_collection->resolveFirst(name);
        if (value && !value->empty()) {
            return *value;
        }
    }
    return "-";
}

// A match refers to its rule by an address in 3.0.9, and by a reference in 3.0.14.
long long id_of(const RuleWithActions *rule) { return rule->m_ruleId; }
template <typename Rule>
long long id_of(const Rule &rule) {
    return rule.m_ruleId;
}

std::string rules(Transaction *transaction) {
    std::vector<long long> seen;
    std::string all;
    for (const auto &message : transaction->m_rulesMessages) {
        const long long rule = id_of(message.m_rule);
        bool known = false;
        for (const auto id : seen) {
            known = known || id == rule;
        }
        if (!known) {
            seen.push_back(rule);
            all += (all.empty() ? "" : ",") + std::to_string(rule);
        }
    }
    return all.empty() ? "-" : all;
}

void ignore(void *, const void *) {}

}  // namespace

int main(int count, char **words) {
    ModSecurity *engine = msc_init();
    msc_set_connector_info(engine, "direct");
    msc_set_log_cb(engine, ignore);
    RulesSet *set = msc_create_rules_set();
    for (int word = 1; word < count; word++) {
        const char *error = nullptr;
        if (msc_rules_add_file(set, words[word], &error) < 0) {
            std::cerr << words[word] << ": " << error << "\n";
            return 1;
        }
    }
    std::string id;
    while (next(&id)) {
        Transaction *transaction = msc_new_transaction_with_id(engine, set, id.data(), nullptr);
        try {
            const Denial denial = inspect(transaction);
            if (denial.status != 0) {
                msc_update_status_code(transaction, denial.status);
            }
            msc_process_logging(transaction);
            std::cout << denial.status << ' ' << denial.url << ' ' << score(transaction) << ' ' << rules(transaction);
        } catch (const std::exception &exception) {
            std::cout << "exception " << exception.what();
        }
        std::cout << std::endl;
        msc_transaction_cleanup(transaction);
    }
    return 0;
}
