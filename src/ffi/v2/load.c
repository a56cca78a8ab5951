/* Initialising the engine, and loading rules into it. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "internal.h"

/* The engine's variable for SecChrootDir, which is one for the whole process. */
extern char *chroot_dir;

module core_module; /* The engine looks for the client's socket under its index, which is 0. */

/* A hook that hosts of the engine on Windows set. It stays NULL here. */
int (*modsecDropAction)(request_rec *request);

/* Apache's function that maps errors of reading a body to a status: the engine's status stands. */
int ap_map_http_request_error(apr_status_t error, int status) {
    (void)error;
    return status;
}

static const char *program = "";

void ms2_say(ms2_error *error, const char *text) {
    apr_cpystrn(error->text, text, sizeof error->text);
}

int ms2_is_set(const char *text) { return text != NULL && text != NOT_SET_P; }

/* The server's name in audit logs. */
const char *__wrap_ap_get_server_banner(void) { return program; }

int ms2_init(const char *name, ms2_error *error) {
    program = strdup(name);
    if (program == NULL || modsecInit() == NULL) {
        ms2_say(error, "the engine could not be initialised");
        return -1;
    }
    modsecSetLogHook(NULL, ms2_log);
    modsecStartConfig();
    ms2_decode_names();
    modsecFinalizeConfig();
    return 0;
}

void ms2_begin_process(void) {
    modsecInitProcess();
    /*
     * The engine separates the sections of audit records by characters of rand(3): each process needs a seed of its
     * own.
     */
    unsigned seed = 0;
    if (getentropy(&seed, sizeof seed) == 0) {
        srand(seed);
    }
}

ms2_rules *ms2_rules_new(void) { return (ms2_rules *)modsecGetDefaultConfig(); }

#define PHASES 5

/* Fills in the engine's lists of rules, in the order of the phases. Returns their number: 0 without rules. */
static int phases(const ms2_rules *rules, const apr_array_header_t *phases[PHASES]) {
    const msre_ruleset *set = ((const directory_config *)rules)->ruleset;
    if (set == NULL) {
        return 0;
    }
    phases[0] = set->phase_request_headers;
    phases[1] = set->phase_request_body;
    phases[2] = set->phase_response_headers;
    phases[3] = set->phase_response_body;
    phases[4] = set->phase_logging;
    return PHASES;
}

int ms2_rules_add_file(ms2_rules *rules, const char *path, int is_built_in, ms2_error *error) {
    const char *wrong = modsecProcessConfig((directory_config *)rules, path, NULL);
    if (wrong == NULL && chroot_dir != NULL) {
        chroot_dir = NULL;
        wrong = "SecChrootDir is Apache's: this program does not change its root directory";
    }
    if (wrong != NULL) {
        ms2_say(error, wrong);
        return -1;
    }
    const apr_array_header_t *lists[PHASES];
    const int count = is_built_in ? phases(rules, lists) : 0;
    for (int phase = 0; phase < count; phase++) {
        for (int i = 0; i < lists[phase]->nelts; i++) {
            msre_rule *rule = APR_ARRAY_IDX(lists[phase], i, msre_rule *);
            if (rule->filename != NULL && strcmp(rule->filename, path) == 0) {
                rule->filename = "";
            }
        }
    }
    return 0;
}

ms2_summary ms2_rules_summary(const ms2_rules *rules) {
    const directory_config *config = (const directory_config *)rules;
    ms2_summary summary = {-1, config->reqbody_access == 1, config->resbody_access == 1};
    switch (config->is_enabled) {
    case MODSEC_ENABLED:
        summary.engine = 1;
        break;
    case MODSEC_DETECTION_ONLY:
        summary.engine = 0;
        break;
    }
    return summary;
}

void ms2_rules_each(const ms2_rules *rules, void (*visit)(void *context, long long rule), void *context) {
    const apr_array_header_t *lists[PHASES];
    const int count = phases(rules, lists);
    for (int phase = 0; phase < count; phase++) {
        for (int i = 0; i < lists[phase]->nelts; i++) {
            const msre_rule *rule = APR_ARRAY_IDX(lists[phase], i, const msre_rule *);
            if (rule->placeholder != RULE_PH_NONE) {
                continue;
            }
            const char *id = rule->actionset != NULL ? rule->actionset->id : NULL;
            visit(context, ms2_is_set(id) ? atoll(id) : 0);
        }
    }
}
