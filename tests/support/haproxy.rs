//! The real HAProxy with the deployed configuration, deploy/haproxy.cfg, in front of an agent.
//!
//! HAProxy inherits its TCP listeners as stdin and stdout (`bind fd@0`): they are bound before it starts, so parallel
//! tests cannot take each other's ports. The version to test is in `HAPROXY` (default: /usr/sbin/haproxy).

use super::PATIENCE;
use super::client::{self, Answer, Verdict};
use super::log::Log;
use super::process::{end, guarded, spawn};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// A running HAProxy. Ends when dropped.
pub struct Haproxy {
    child: Child,
    recipe: Recipe,
    /// What it logs, one line per request.
    pub log: Log,
    complaints: Log,
    /// Where the deployed frontend listens, on IPv4 …
    pub v4: SocketAddr,
    /// … and on IPv6.
    pub v6: SocketAddr,
    folder: TempDir,
}

/// How to start it, once more if need be.
struct Recipe {
    config: PathBuf,
    variables: Vec<(String, String)>,
    sockets: [TcpListener; 2],
}

impl Recipe {
    fn command(&self) -> Command {
        let mut command = guarded(&program());
        command.args(["-db", "-f"]).arg(&self.config);
        command.arg("-f").arg(repository("tests/data/application.cfg"));
        let [v4, v6] = self.sockets.each_ref().map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
        command.stdin(v4).stdout(v6).stderr(Stdio::piped());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The program to test with.
pub fn program() -> String {
    std::env::var("HAPROXY").unwrap_or_else(|_| "/usr/sbin/haproxy".to_owned())
}

/// Its version: 2.6 is (2, 6).
pub fn version() -> (u32, u32) {
    let output = Command::new(program()).arg("-v").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/"
    let mut numbers =
        text.split_whitespace().nth(2).unwrap().split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The deployed SPOE configuration with time for a busy machine: its 600 ms are right for production, but a test that
/// asks for a verdict must not fail because a compiler runs beside it.
pub fn patient_spoe_file(deployed: &Path, folder: &Path) -> PathBuf {
    let deployed = std::fs::read_to_string(deployed).unwrap();
    let patient = deployed.replace("timeout processing 600ms", "timeout processing 20s");
    let patient = patient.replace("timeout hello 500ms", "timeout hello 10s");
    assert_ne!(deployed, patient, "the SPOE configuration has other timeouts now: adapt the tests");
    let path = folder.join("spoe.conf");
    std::fs::write(&path, patient).unwrap();
    path
}

impl Haproxy {
    /// Starts it in front of the agent at this address.
    pub fn start(agent: &str) -> Self {
        Self::start_with(agent, &[])
    }

    /// The same with variables of its own: `HAPROXY_BUFSIZE`, `TEST_MAXHDR`, `MODSEC_SPOE_CONF` …
    pub fn start_with(agent: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_from(&repository("deploy/haproxy.cfg"), agent, environment)
    }

    /// The same with another file in place of the deployed one.
    pub fn start_from(config: &Path, agent: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind("[::1]:0").expect("this machine has no IPv6 loopback");
        let (address_v4, address_v6) = (v4.local_addr().unwrap(), v6.local_addr().unwrap());
        let path = folder.path().to_str().unwrap().to_owned();

        let spoe = patient_spoe_file(&repository("deploy/spoe-modsecurity.conf"), folder.path());
        // Over UDP: on stderr HAProxy's threads sometimes lose each other's lines.
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let variables = [
            ("HTTP_BIND", format!("fd@0,fd@1,unix@{path}/web.sock")),
            ("APP_SERVER", format!("unix@{path}/application.sock")),
            ("MODSEC_AGENT", agent.replace("unix:", "unix@")),
            ("MODSEC_SPOE_CONF", spoe.to_str().unwrap().to_owned()),
            ("TEST_FOLDER", path),
            ("HAPROXY_LOG", receiver.local_addr().unwrap().to_string()),
            ("HAPROXY_USER", identity("-un")),
            ("HAPROXY_GROUP", identity("-gn")),
        ];
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut recipe = Recipe { config: config.to_owned(), variables: Vec::new(), sockets: [v4, v6] };
        recipe.variables.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        recipe.variables.extend(environment.iter().map(owned));

        let command = recipe.command();
        let mut child = spawn(command);
        let (log, complaints) = (Log::receive(receiver), Log::follow(child.stderr.take().unwrap()));
        let (v4, v6) = (address_v4, address_v6);
        let mut haproxy = Self { child, recipe, log, complaints, v4, v6, folder };
        haproxy.wait_until_up();
        haproxy
    }

    /// Reloads it as a service manager does: a new process takes over, and the old one ends when it has nothing left to do.
    /// Gives the old one.
    pub fn reload(&mut self) -> Child {
        let mut command = self.recipe.command();
        command.args(["-sf", &self.child.id().to_string()]);
        let mut child = spawn(command);
        self.complaints = Log::follow(child.stderr.take().unwrap());
        std::mem::replace(&mut self.child, child)
    }

    fn wait_until_up(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.application_answers() {
            let runs = self.child.try_wait().unwrap().is_none();
            assert!(
                runs && Instant::now() < deadline,
                "HAProxy does not start:\n{}",
                self.complaints.lines().join("\n")
            );
            // Its Unix socket appears when it does: there is nothing to wait on before.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn application_answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.folder.path().join("application.sock")) else {
            return false;
        };
        let mut answer = [0; 8];
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok() && stream.read_exact(&mut answer).is_ok()
    }

    /// Sends a request to `http://shop.test` + `target` over IPv4, with more options for curl.
    pub fn curl(&self, target: &str, options: &[&str]) -> Answer {
        self.curl_to(&["--connect-to", &format!("::{}", self.v4)], target, options)
    }

    /// The same over IPv6.
    pub fn curl_v6(&self, target: &str, options: &[&str]) -> Answer {
        self.curl_to(&["--connect-to", &format!("::{}", self.v6)], target, options)
    }

    /// The same over the Unix socket, where a client has no address.
    pub fn curl_unix(&self, target: &str, options: &[&str]) -> Answer {
        let socket = self.folder.path().join("web.sock");
        self.curl_to(&["--unix-socket", socket.to_str().unwrap()], target, options)
    }

    fn curl_to(&self, way: &[&str], target: &str, options: &[&str]) -> Answer {
        let mark = self.log.lines().len();
        let (mut answer, client) = client::curl(way, target, options);
        answer.verdict = self.verdict(mark, &client);
        answer
    }

    /// Sends these bytes over IPv4 and reads one response.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        self.raw_from(|_| bytes.to_vec())
    }

    /// The same with bytes that depend on the client's address.
    pub fn raw_from(&self, request: impl Fn(SocketAddr) -> Vec<u8>) -> Answer {
        let mark = self.log.lines().len();
        let (mut answer, client) = client::raw(self.v4, request);
        answer.verdict = self.verdict(mark, &format!("{client} "));
        answer
    }

    /// What the agent said about the request of this client, from HAProxy's log line.
    fn verdict(&self, mark: usize, client: &str) -> Verdict {
        let start = format!(": {client}");
        let wanted = |line: &str| line.contains(&start) && line.contains(" modsec_code=");
        Verdict::parse(&self.log.wait_for_after(mark, "the request", wanted))
    }

    /// Responses with a status of 500 or more that the deployed frontend has given.
    pub fn server_errors(&self) -> u64 {
        let statistics = self.admin("show stat");
        let mut lines = statistics.lines();
        let column = lines.next().unwrap().split(',').position(|name| name == "hrsp_5xx").unwrap();
        let frontend = lines.find(|line| line.starts_with("web,FRONTEND,")).unwrap();
        frontend.split(',').nth(column).unwrap().parse().unwrap()
    }

    /// Sends one command to its admin socket.
    pub fn admin(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Who runs the tests: HAProxy as root must not become somebody who cannot write into the test's folder.
pub fn identity(option: &str) -> String {
    let output = Command::new("id").arg(option).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
