//! Do the files for containers and Kubernetes (deploy/container, deploy/kubernetes) fit the program, HAProxy and each other?
//! No container runs here: what stands in them is read, and given to the programs that it is for.

use crate::support::haproxy::{identity, program, repository};
use crate::support::process::{engine, run};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Command;
use yaml_rust2::{Yaml, YamlLoader};

/// Where the agent listens in all of them.
const PORT: &str = "12345";

fn text(path: &str) -> String {
    read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of Kubernetes, each with its documents.
fn kubernetes() -> Vec<(String, Vec<Yaml>)> {
    let files = read_dir(repository("deploy/kubernetes")).unwrap().map(|entry| entry.unwrap().file_name());
    files
        .map(|file| {
            let path = format!("deploy/kubernetes/{}", file.to_str().unwrap());
            let documents = yaml(&path);
            (path, documents)
        })
        .collect()
}

fn documents(kind: &str) -> Vec<Yaml> {
    let all = kubernetes().into_iter().flat_map(|(_, documents)| documents);
    all.filter(|document| document["kind"].as_str() == Some(kind)).collect()
}

/// The value of a key of a ConfigMap.
fn config(name: &str, key: &str) -> String {
    let maps = documents("ConfigMap");
    let map = maps.iter().find(|map| map["metadata"]["name"].as_str() == Some(name)).unwrap();
    map["data"][key].as_str().unwrap_or_else(|| panic!("ConfigMap {name} has no {key}")).to_owned()
}

/// The containers with the agent, with the name of their deployment.
fn agents() -> Vec<(String, Yaml)> {
    let mut found = Vec::new();
    for deployment in documents("Deployment") {
        let name = deployment["metadata"]["name"].as_str().unwrap().to_owned();
        let containers = deployment["spec"]["template"]["spec"]["containers"].as_vec().unwrap().clone();
        found.extend(
            containers
                .into_iter()
                .filter(|container| container["name"].as_str() == Some("agent"))
                .map(|container| (name.clone(), container)),
        );
    }
    assert_eq!(found.len(), 2, "the deployment and the side-car");
    found
}

fn words(list: &Yaml) -> Vec<String> {
    list.as_vec().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The rules of the ConfigMap, as they are mounted.
fn mounted_rules() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["rules.conf", "before.conf", "behind.conf"] {
        std::fs::write(folder.path().join(name), config("modsecurity-rules", name)).unwrap();
    }
    let path = folder.path().join("rules.conf");
    (folder, path)
}

/// Checks that HAProxy takes these files, without a warning.
fn haproxy_takes(files: &[&Path], environment: &[(String, String)]) {
    let mut command = Command::new(program());
    command.arg("-c");
    for file in files {
        command.arg("-f").arg(file);
    }
    command.env("HAPROXY_USER", identity("-un")).env("HAPROXY_GROUP", identity("-gn"));
    let output = command.envs(environment.iter().cloned()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !said.contains("WARNING") && !said.contains("ALERT"), "{said}");
}

/// `NAME=value` with a host that only the other containers know, as it is written there.
fn reachable(value: &str) -> String {
    match value.split_once(':') {
        Some((host, port)) if !host.is_empty() => format!("127.0.0.1:{port}"),
        _ => value.to_owned(),
    }
}

#[test]
fn every_document_is_a_kubernetes_object() {
    for (path, documents) in kubernetes() {
        assert!(!documents.is_empty(), "{path}");
        for document in documents {
            for key in ["apiVersion", "kind"] {
                assert!(document[key].as_str().is_some(), "{path}: no {key} in {document:?}");
            }
            assert!(document["metadata"]["name"].as_str().is_some(), "{path}: {document:?}");
        }
    }
}

#[test]
fn the_agent_takes_the_options_and_the_rules_of_each_deployment() {
    if engine() == 2 {
        println!("the rules are those of libmodsecurity 3");
        return;
    }
    let (_folder, rules) = mounted_rules();
    let rules = rules.to_str().unwrap();
    for (name, agent) in agents() {
        let args = words(&agent["args"]);
        assert!(args.iter().any(|arg| arg.contains("/etc/modsecurity-spoa/rules.conf")), "{name}: {args:?}");
        let mounts = agent["volumeMounts"].as_vec().unwrap();
        assert!(mounts.iter().any(|mount| mount["mountPath"].as_str() == Some("/etc/modsecurity-spoa")));
        let args: Vec<String> =
            args.iter().map(|arg| arg.replace("/etc/modsecurity-spoa/rules.conf", rules)).collect();
        let mut words: Vec<&str> = args.iter().map(String::as_str).collect();
        words.extend(["--check", "--strict"]);
        let output = run(&words, &[]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_rules_are_the_built_in_ones_with_two_files_of_ones_own() {
    if engine() == 2 {
        println!("the rules are those of libmodsecurity 3");
        return;
    }
    let built_in = String::from_utf8(run(&["--print-rules"], &[]).stdout).unwrap();
    let whole = config("modsecurity-rules", "rules.conf");
    let settings = |rules: &str| {
        let (settings, _) = rules.rsplit_once("# The Core Rule Set").unwrap();
        settings.trim().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        settings(&whole),
        settings(&built_in),
        "deploy/kubernetes/rules.yaml is not what --print-rules prints"
    );
    let includes: Vec<_> = whole.lines().filter_map(|line| line.strip_prefix("Include ")).collect();
    let own = ["before.conf", "behind.conf"];
    assert_eq!([includes[1], includes[3]], own, "{includes:?}");
    for path in [includes[0], includes[2]] {
        assert!(built_in.contains(path), "{path}");
    }
}

#[test]
fn probes_and_ports_are_those_where_the_agent_listens() {
    for (name, agent) in agents() {
        let args = words(&agent["args"]);
        let listen = args.iter().find_map(|arg| arg.strip_prefix("--listen=")).unwrap();
        assert!(listen.ends_with(&format!(":{PORT}")), "{name}: {listen}");
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            if name == "web" && probe == "startupProbe" {
                continue;
            }
            let command = words(&agent[probe]["exec"]["command"]);
            assert_eq!(
                command,
                ["modsecurity-spoa", "probe", &format!("127.0.0.1:{PORT}")],
                "{name} {probe}"
            );
            // The probe itself takes up to a second.
            assert!(agent[probe]["timeoutSeconds"].as_i64().unwrap() >= 2, "{name} {probe}");
        }
    }
    let service = documents("Service").remove(0);
    assert_eq!(service["spec"]["ports"][0]["port"].as_i64(), PORT.parse().ok());
    let agents = agents();
    let (_, agent) = agents.iter().find(|(name, _)| name == "modsecurity-spoa").unwrap();
    let port = &agent["ports"][0];
    assert_eq!(port["containerPort"].as_i64(), PORT.parse().ok());
    assert_eq!(service["spec"]["ports"][0]["targetPort"].as_str(), port["name"].as_str());
    assert!(config("haproxy-ingress", "modsecurity-endpoints").ends_with(&format!(":{PORT}")));
    assert!(
        config("haproxy-aux", "haproxy-aux.cfg")
            .contains(&format!("modsecurity-spoa.default.svc.cluster.local:{PORT} "))
    );
}

#[test]
fn the_agent_may_nothing_that_it_does_not_need() {
    let user = text("deploy/container/Containerfile");
    let user: i64 = user
        .lines()
        .find_map(|line| line.strip_prefix("USER "))
        .unwrap()
        .split(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    for deployment in documents("Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"].as_bool(), Some(false));
        assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"].as_str(), Some("RuntimeDefault"));
        for container in pod["containers"].as_vec().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"].as_bool(), Some(false));
            assert_eq!(context["readOnlyRootFilesystem"].as_bool(), Some(true));
            assert_eq!(words(&context["capabilities"]["drop"]), ["ALL"]);
            let own = context["runAsUser"].as_i64().or(pod["securityContext"]["runAsUser"].as_i64());
            assert_eq!(own == Some(user), container["name"].as_str() == Some("agent"), "{container:?}");
        }
    }
    let compose = &yaml("deploy/container/compose.yaml")[0]["services"]["agent"];
    assert_eq!(compose["read_only"].as_bool(), Some(true));
    assert_eq!(words(&compose["cap_drop"]), ["ALL"]);
    assert_eq!(words(&compose["tmpfs"]), ["/tmp"]);
}

#[test]
fn the_container_is_built_from_what_is_there_and_started_as_the_program_takes_it() {
    let file = text("deploy/container/Containerfile");
    let mut environment = Vec::new();
    let logical = file.replace("\\\n", " ");
    for line in logical.lines() {
        match line.split_once(' ') {
            Some(("ENV", variables)) => {
                let pairs = variables.split_whitespace().map(|pair| pair.split_once('=').unwrap());
                environment.extend(pairs);
            }
            Some(("EXPOSE", port)) => assert_eq!(port, PORT),
            Some(("HEALTHCHECK", words)) => assert!(words.ends_with("CMD [\"modsecurity-spoa\", \"probe\"]")),
            Some(("ENTRYPOINT", words)) => assert_eq!(words, "[\"modsecurity-spoa\"]"),
            Some(("COPY", words)) => assert_eq!(words, ". .", "the repository, less .dockerignore"),
            Some(("RUN", command)) => {
                for script in command.split_whitespace().filter(|word| word.starts_with("deploy/")) {
                    assert!(repository(script).exists(), "{script}");
                }
            }
            Some(("FROM" | "WORKDIR" | "USER" | "STOPSIGNAL" | "#", _)) | None => {}
            Some(_) => panic!("{line}"),
        }
    }
    let listen = environment.iter().find(|(name, _)| *name == "MODSECURITY_SPOA_LISTEN").unwrap().1;
    assert!(listen.ends_with(&format!(":{PORT}")));
    let output = run(&["--check"], &environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("unknown environment variable"), "{said}");
    // The tool that makes the package is the one that CI has.
    let version = text("deploy/test.sh");
    let version = version.split("cargo_deb=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(file.contains(&format!("cargo-deb --version {version} --no-default-features")));
    assert!(text(".dockerignore").lines().any(|line| line == "target"));
}

#[test]
fn haproxy_takes_what_the_compose_file_gives_it() {
    let compose = &yaml("deploy/container/compose.yaml")[0]["services"];
    let folder = repository("deploy/container");
    for name in ["haproxy", "site"] {
        let service = &compose[name];
        let variables = service["environment"].as_hash().unwrap().iter();
        let environment: Vec<_> = variables
            .map(|(name, value)| (name.as_str().unwrap().to_owned(), reachable(value.as_str().unwrap())))
            .collect();
        let mounts = words(&service["volumes"]);
        let sources: Vec<_> =
            mounts.iter().map(|mount| folder.join(mount.split(':').next().unwrap())).collect();
        assert!(sources.iter().all(|path| path.exists()), "{sources:?}");
        // The SPOE file is named in the first.
        let files: Vec<&Path> = sources
            .iter()
            .map(PathBuf::as_path)
            .filter(|path| path.extension().is_some_and(|end| end == "cfg"))
            .collect();
        haproxy_takes(&files, &environment);
    }
    let agent = compose["haproxy"]["environment"]["MODSEC_AGENT"].as_str().unwrap();
    assert_eq!(agent, format!("agent:{PORT}"));
    let build = &compose["agent"]["build"];
    assert!(
        folder.join(build["context"].as_str().unwrap()).join(build["dockerfile"].as_str().unwrap()).exists()
    );
}

#[test]
fn haproxy_takes_what_the_side_car_gives_it() {
    let deployments = documents("Deployment");
    let web = deployments.iter().find(|one| one["metadata"]["name"].as_str() == Some("web")).unwrap();
    let haproxy = &web["spec"]["template"]["spec"]["containers"][0];
    let environment: Vec<_> = haproxy["env"]
        .as_vec()
        .unwrap()
        .iter()
        .map(|variable| {
            (variable["name"].as_str().unwrap().to_owned(), reachable(variable["value"].as_str().unwrap()))
        })
        .collect();
    assert!(environment.contains(&("MODSEC_AGENT".to_owned(), format!("127.0.0.1:{PORT}"))));
    haproxy_takes(&[&repository("deploy/haproxy.cfg")], &environment);
}

#[test]
fn haproxy_takes_the_lines_for_its_own_ingress_controller() {
    let folder = tempfile::tempdir().unwrap();
    let snippet = config("haproxy-kubernetes-ingress", "frontend-config-snippet");
    let spoe = repository("deploy/spoe-modsecurity.conf");
    let snippet = snippet.replace("/etc/haproxy/modsecurity/spoe-modsecurity.conf", spoe.to_str().unwrap());
    assert!(snippet.contains(spoe.to_str().unwrap()));
    // As the controller writes it: the lines are in the frontends for HTTP and for HTTPS.
    let lines: String = snippet.lines().map(|line| format!("  {line}\n")).collect();
    let main = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
         frontend http\n  bind 127.0.0.1:8080\n{lines}  default_backend app\n\
         frontend https\n  bind 127.0.0.1:8443\n{lines}  default_backend app\n\
         backend app\n  server app1 127.0.0.1:8081\n"
    );
    let (main_file, aux_file) = (folder.path().join("haproxy.cfg"), folder.path().join("haproxy-aux.cfg"));
    std::fs::write(&main_file, main).unwrap();
    std::fs::write(&aux_file, config("haproxy-aux", "haproxy-aux.cfg")).unwrap();
    haproxy_takes(&[&main_file, &aux_file], &[]);
    // It fails closed.
    assert!(snippet.contains("deny deny_status 503 unless { var(txn.modsec.code) -m int eq 0 }"));
}

#[test]
fn haproxy_ingress_asks_as_this_agents_own_file_does() {
    let args = config("haproxy-ingress", "modsecurity-args");
    let file = text("deploy/spoe-modsecurity.conf");
    let own = file.lines().find_map(|line| line.trim().strip_prefix("args unique-id=")).unwrap();
    assert_eq!(args, format!("unique-id={own}"));
    let ingress = documents("Ingress").remove(0);
    let annotations = &ingress["metadata"]["annotations"];
    assert_eq!(annotations["haproxy-ingress.github.io/waf"].as_str(), Some("modsecurity"));
    let lines = annotations["haproxy-ingress.github.io/config-backend"].as_str().unwrap();
    assert!(lines.contains("deny deny_status 503 unless { var(txn.modsec.code) -m int eq 0 }"));
}
