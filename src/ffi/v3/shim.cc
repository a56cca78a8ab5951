#include "shim.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <iostream>
#include <memory>

#include <unistd.h>

#include <modsecurity/actions/action.h>
#include <modsecurity/audit_log.h>
#include <modsecurity/rule.h>
#include <modsecurity/rule_message.h>
#include <modsecurity/rules_set_phases.h>

namespace {

void say(mss_error *error, const char *text) {
    std::snprintf(error->text, sizeof error->text, "%s", text);
}

// Runs a call into the library, and turns whatever it throws into an error.
template <typename Call>
int guarded(mss_error *error, Call call) noexcept {
    try {
        return call();
    } catch (const std::exception &exception) {
        say(error, exception.what());
    } catch (...) {
        say(error, "the engine threw something that is no std::exception");
    }
    return -1;
}

mss_bytes view(const std::string &text) { return {text.data(), text.size()}; }

// What 3.0.9 has a pointer to, and 3.0.14 the thing itself: the address of both.
template <typename Thing>
const Thing *address(const Thing &thing) {
    return &thing;
}
template <typename Thing>
const Thing *address(Thing *const &thing) {
    return thing;
}
template <typename Thing>
const Thing *address(const std::shared_ptr<Thing> &thing) {
    return thing.get();
}

// The library's log callback, which does nothing. It is not called for a rule that denies; mss_matches lists all
// matches.
void ignore(void *, const void *) {}

// The name of a rule's disruptive action is in a private member. An explicit instantiation may name private members
// ([temp.spec]), and this one returns the pointer to it.
using DisruptiveAction = modsecurity::actions::Action *modsecurity::RuleWithActions::*;
DisruptiveAction disruptive_action();
template <DisruptiveAction member>
struct Expose {
    friend DisruptiveAction disruptive_action() { return member; }
};
template struct Expose<&modsecurity::RuleWithActions::m_disruptiveAction>;

bool is_drop(const modsecurity::actions::Action &action) { return action.m_name && *action.m_name == "drop"; }

// Whether a rule drops the connection. The library denies instead of dropping, so its intervention does not say.
bool drops(const Transaction &transaction, const modsecurity::RuleWithActions &rule) {
    if (!rule.hasBlockAction()) {
        const auto *action = rule.*disruptive_action();
        return action != nullptr && is_drop(*action);
    }
    const int phase = rule.getPhase();
    if (phase < 0 || phase >= modsecurity::NUMBER_OF_PHASES) {
        return false;
    }
    for (const auto &standing : transaction.m_rules->m_defaultActions[phase]) {
        if (standing->isDisruptive()) {
            return is_drop(*standing);
        }
    }
    return false;
}

// Two settings of the audit log, which are private too.
using AuditLog = modsecurity::audit_log::AuditLog;
using AuditStatus = AuditLog::AuditLogStatus AuditLog::*;
using AuditType = AuditLog::AuditLogType AuditLog::*;
AuditStatus audit_status();
AuditType audit_type();
template <AuditStatus status, AuditType type>
struct ExposeAudit {
    friend AuditStatus audit_status() { return status; }
    friend AuditType audit_type() { return type; }
};
template struct ExposeAudit<&AuditLog::m_status, &AuditLog::m_type>;

// Whether the logging phase has written an audit record, or tried to, as the library decides it (saveIfRelevant): it does
// not say so itself. 0: no; 1: in the file of SecAuditLog; 2: in the file of this path.
int audit_record(Transaction &transaction, char *path, size_t size) {
    AuditLog *log = transaction.m_rules->m_auditLog;
    if (log == nullptr || transaction.getRuleEngineState() == modsecurity::RulesSet::DisabledRuleEngine) {
        return 0;
    }
    auto status = log->*audit_status();
    if (transaction.m_ctlAuditEngine != AuditLog::NotSetLogStatus) {
        status = transaction.m_ctlAuditEngine;
    }
    if (status != AuditLog::OnAuditLogStatus && status != AuditLog::RelevantOnlyAuditLogStatus) {
        return 0;
    }
    bool is_wanted = status == AuditLog::OnAuditLogStatus || log->isRelevant(transaction.m_httpCodeReturned);
    for (const auto &message : transaction.m_rulesMessages) {
        is_wanted = is_wanted || !message.m_noAuditLog;
    }
    if (!is_wanted || log->*audit_type() == AuditLog::HttpsAuditLogType) {
        return 0;
    }
    if (log->*audit_type() != AuditLog::ParallelAuditLogType) {
        return 1;
    }
    tm time = {};
    char stamp[64];
    localtime_r(&transaction.m_timeStamp, &time);
    strftime(stamp, sizeof stamp, "/%Y%m%d/%Y%m%d-%H%M/%Y%m%d-%H%M%S-", &time);
    std::snprintf(path, size, "%s%s%s", log->m_storage_dir.c_str(), stamp,
                  address(transaction.m_id)->c_str());
    return 2;
}

}  // namespace

extern "C" {

void mss_silence(ModSecurity *engine) { engine->setServerLogCb(ignore, modsecurity::RuleMessageLogProperty); }

void mss_flush_output(void) {
    std::cout.flush();
    std::fflush(stdout);
}

void mss_reseed(void) {
    unsigned seed = 0;
    if (getentropy(&seed, sizeof seed) == 0) {
        std::srand(seed);
    }
}

const char *mss_compiled_version(void) { return MODSECURITY_VERSION; }

int mss_rules_add_file(RulesSet *rules, const char *path, mss_error *error) {
    return guarded(error, [&] {
        if (rules->loadFromUri(path) < 0) {
            say(error, rules->getParserError().c_str());
            return -1;
        }
        return 0;
    });
}

int mss_rules_add(RulesSet *rules, const char *directives, const char *name, mss_error *error) {
    return guarded(error, [&] {
        if (rules->load(directives, name) < 0) {
            say(error, rules->getParserError().c_str());
            return -1;
        }
        return 0;
    });
}

int mss_rules_settings(RulesSet *rules, mss_settings *settings, mss_error *error) {
    return guarded(error, [&] {
        switch (rules->m_secRuleEngine) {
            case RulesSet::EnabledRuleEngine: settings->engine = 1; break;
            case RulesSet::DetectionOnlyRuleEngine: settings->engine = 0; break;
            default: settings->engine = -1; break;
        }
        settings->request_body_access = rules->m_secRequestBodyAccess == RulesSet::TrueConfigBoolean ? 1 : 0;
        settings->response_body_access = rules->m_secResponseBodyAccess == RulesSet::TrueConfigBoolean ? 1 : 0;
        return 0;
    });
}

int mss_rules(RulesSet *rules, void (*visit)(void *context, long long rule), void *context, mss_error *error) {
    return guarded(error, [&] {
        for (int phase = 0; phase < modsecurity::NUMBER_OF_PHASES; phase++) {
            for (const auto &first : rules->m_rulesSetPhases.at(phase)->m_rules) {
                // A marker has no actions.
                const auto *rule = dynamic_cast<const modsecurity::RuleWithActions *>(first.get());
                while (rule != nullptr) {
                    visit(context, rule->m_ruleId);
                    rule = rule->m_chainedRuleChild.get();
                }
            }
        }
        return 0;
    });
}

Transaction *mss_transaction_new(ModSecurity *engine, RulesSet *rules, const char *id, mss_error *error) {
    Transaction *transaction = nullptr;
    guarded(error, [&] {
        transaction = new Transaction(engine, rules, const_cast<char *>(id), nullptr);
        return 0;
    });
    return transaction;
}

int mss_set_tx(Transaction *transaction, const char *name, const char *value, mss_error *error) {
    return guarded(error, [&] {
        transaction->m_collections.m_tx_collection->storeOrUpdateFirst(name, value);
        return 0;
    });
}

int mss_ignore_rule(Transaction *transaction, long long rule, mss_error *error) {
    return guarded(error, [&] {
        transaction->m_ruleRemoveById.push_back(static_cast<int>(rule));
        return 0;
    });
}

int mss_process_connection(Transaction *transaction, const char *client, int client_port, const char *server,
                           int server_port, mss_error *error) {
    return guarded(error, [&] {
        transaction->processConnection(client, client_port, server, server_port);
        return 0;
    });
}

int mss_process_uri(Transaction *transaction, const char *uri, const char *method, const char *version,
                    mss_error *error) {
    return guarded(error, [&] {
        transaction->processURI(uri, method, version);
        return 0;
    });
}

int mss_restore_path(Transaction *transaction, mss_bytes path, mss_error *error) {
    return guarded(error, [&] {
        const std::string decoded(path.start, path.length);
        const size_t question = decoded.find('?');
        // Libraries from 3.0.12 on split before they decode: they have the whole path already.
        if (question == std::string::npos ||
            transaction->m_variableRequestFilename.m_value != decoded.substr(0, question)) {
            return 0;
        }
        transaction->m_variableRequestFilename.m_value = decoded;
        transaction->m_variablePathInfo.m_value = decoded;
        const size_t separator = decoded.find_last_of("/\\");
        if (separator != std::string::npos && separator + 1 < decoded.size()) {
            transaction->m_variableRequestBasename.m_value = decoded.substr(separator + 1);
        }
        return 1;
    });
}

int mss_add_request_header(Transaction *transaction, mss_bytes name, mss_bytes value, mss_error *error) {
    return guarded(error, [&] {
        transaction->addRequestHeader(std::string(name.start, name.length), std::string(value.start, value.length));
        return 0;
    });
}

int mss_process_request_headers(Transaction *transaction, mss_error *error) {
    return guarded(error, [&] {
        transaction->processRequestHeaders();
        return 0;
    });
}

int mss_body_processor(Transaction *transaction, mss_error *error) {
    return guarded(error, [&] {
        // A processor that a rule has chosen comes before the type that the header names.
        switch (transaction->m_requestBodyProcessor) {
            case Transaction::XMLRequestBody: return 4;
            case Transaction::JSONRequestBody: return 3;
            default: break;
        }
        switch (transaction->m_requestBodyType) {
            case Transaction::MultiPartRequestBody: return 2;
            case Transaction::WWWFormUrlEncoded: return 1;
            default: return 0;
        }
    });
}

int mss_append_request_body(Transaction *transaction, mss_bytes body, mss_error *error) {
    return guarded(error, [&] {
        // The returned false only means that the body exceeds its limit and is denied, which mss_intervention reports
        // too.
        transaction->appendRequestBody(reinterpret_cast<const unsigned char *>(body.start), body.length);
        return 0;
    });
}

int mss_process_request_body(Transaction *transaction, mss_error *error) {
    return guarded(error, [&] {
        transaction->processRequestBody();
        return 0;
    });
}

int mss_add_response_header(Transaction *transaction, mss_bytes name, mss_bytes value, mss_error *error) {
    return guarded(error, [&] {
        transaction->addResponseHeader(std::string(name.start, name.length), std::string(value.start, value.length));
        return 0;
    });
}

int mss_process_response_headers(Transaction *transaction, int status, const char *protocol, mss_error *error) {
    return guarded(error, [&] {
        transaction->processResponseHeaders(status, protocol);
        return 0;
    });
}

int mss_append_response_body(Transaction *transaction, mss_bytes body, mss_error *error) {
    return guarded(error, [&] {
        transaction->appendResponseBody(reinterpret_cast<const unsigned char *>(body.start), body.length);
        return 0;
    });
}

int mss_process_response_body(Transaction *transaction, mss_error *error) {
    return guarded(error, [&] {
        transaction->processResponseBody();
        return 0;
    });
}

int mss_update_status_code(Transaction *transaction, int status, mss_error *error) {
    return guarded(error, [&] {
        transaction->updateStatusCode(status);
        return 0;
    });
}

int mss_process_logging(Transaction *transaction, char *path, size_t size, mss_error *error) {
    return guarded(error, [&] {
        transaction->processLogging();
        return audit_record(*transaction, path, size);
    });
}

int mss_intervention(Transaction *transaction, ModSecurityIntervention *intervention, mss_error *error) {
    return guarded(error, [&] { return transaction->intervention(intervention) ? 1 : 0; });
}

int mss_matches(Transaction *transaction, size_t skip, void (*visit)(void *context, const mss_match *match),
                void *context, mss_error *error) {
    return guarded(error, [&] {
        for (const auto &message : transaction->m_rulesMessages) {
            if (skip > 0) {
                skip--;
                continue;
            }
            mss_match match = {};
            match.disruptive = message.m_isDisruptive ? 1 : 0;
            match.severity = -1;
            if (const auto *rule = address(message.m_rule)) {
                match.rule = rule->m_ruleId;
                // The library counts from the phase before a request's first.
                match.phase = rule->getPhase() - 1;
                match.drops = drops(*transaction, *rule) ? 1 : 0;
                if (rule->hasSeverity()) {
                    match.severity = message.m_severity;
                }
                match.line = rule->getLineNumber();
                if (const auto *file = address(rule->getFileName())) {
                    match.file = view(*file);
                }
            }
            match.message = view(message.m_message);
            match.data = view(message.m_data);
            std::string tags;
            for (const auto &tag : message.m_tags) {
                tags.append(tags.empty() ? "" : ",").append(tag);
            }
            match.tags = view(tags);
            visit(context, &match);
        }
        return 0;
    });
}

int mss_tx_number(Transaction *transaction, const char *name, long long *number, mss_error *error) {
    return guarded(error, [&] {
        const auto value = transaction->m_collections.m_tx_collection->resolveFirst(name);
        if (!value || value->empty()) {
            return 0;
        }
        char *end = nullptr;
        errno = 0;
        *number = std::strtoll(value->c_str(), &end, 10);
        return errno == 0 && *end == '\0' ? 1 : 0;
    });
}

}  // extern "C"
