//! The service: an actor above the supervision tree, which handles signals and reloads and reports the end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Addr, AsyncContext, Context, Handler};
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use actors::{Leave, Ping, ReloadEngines, Root, Socket, Stop, TlsServer, TreeEvent};
use slog::{Logger, error, info, warn};
use tokio::sync::{Notify, oneshot};

use crate::admin::{AdminState, Statistics};
use crate::agent::ModSecurityAgent;
use crate::agent::policy::Applications;
use crate::daemon::detach::Starter;
use crate::daemon::handover::{HandoverError, Heir, HeirNews, Predecessor, TakenOver};
use crate::daemon::pid_file;
use crate::daemon::reload::{self, Reload, Reloaded};
use crate::daemon::rules_report::{self, LoadedRules};
use crate::daemon::service_manager::ServiceManager;
use crate::daemon::signals;
use crate::daemon::successor::Successor;
use crate::daemon::watch::{FilesChanged, Watch};
use crate::logging::Logs;
use crate::settings::Settings;

/// Long enough for the runtime to look at what has happened meanwhile.
const NEXT_TURN: Duration = Duration::from_millis(1);

/// What is said when an engine has not started before the tree was ready.
pub(crate) const NOT_STARTED: &str = "cannot start: not every engine could be started";

/// How the service ended.
pub(crate) enum Ending {
    /// The tree has stopped after SIGTERM or SIGINT.
    Stopped,
    /// A second SIGTERM or SIGINT came: what is in flight is not waited for.
    Abandoned,
    /// An engine has not started before the tree was ready: which, and why. The tree has stopped.
    Failed(String),
    /// The tree has stopped, and this process is to become a new one, which goes on serving.
    Replaced(Successor),
}

/// What the service has to do with beside the tree.
pub(crate) struct Surroundings {
    /// Where HAProxy asks how the agent is.
    pub(crate) agent_check: Option<Socket>,
    /// Who has started this process in the background, and waits for the tree to be ready.
    pub(crate) starter: Starter,
    /// What becomes of this process when it is replaced (to load new rules, or after a taint), or upgraded.
    pub(crate) successor: Successor,
    /// Who waits to hand over to this process.
    pub(crate) predecessor: Option<Predecessor>,
    /// Another process looks after the files of Unix sockets.
    pub(crate) files_are_others: Arc<AtomicBool>,
    /// Is notified when an engine has faulted in this process.
    pub(crate) tainted: Arc<Notify>,
    /// The certificates that listeners use.
    pub(crate) tls: Option<TlsServer>,
    /// The files whose change is a reload.
    pub(crate) watch: Option<Watch>,
    /// Who is told what goes on.
    pub(crate) manager: ServiceManager,
    /// The log's targets, whose files are opened anew.
    pub(crate) logs: Logs,
    /// What is shown of the service.
    pub(crate) admin: Arc<AdminState>,
}

/// A running service.
pub(crate) struct Service {
    /// Keeps the actor alive: an actor ends when nobody holds its address.
    _actor: Addr<ServiceActor>,
    ending: oneshot::Receiver<Ending>,
}

impl Service {
    /// Starts the tree; `rules` are those that the agent has loaded.
    ///
    /// # Errors
    /// When the tree cannot be started, or signals cannot be received.
    pub(crate) fn start(
        settings: Arc<Settings>,
        agent: Arc<ModSecurityAgent>,
        rules: LoadedRules,
        sockets: Vec<Socket>,
        surroundings: Surroundings,
        log: &Logger,
    ) -> io::Result<Self> {
        let Surroundings {
            agent_check,
            starter,
            successor,
            predecessor,
            files_are_others,
            tainted,
            tls,
            watch,
            manager,
            logs,
            admin,
        } = surroundings;
        let mut root = Root::new(settings.tree, Arc::clone(&agent), sockets, log.clone())?;
        if let Some(socket) = agent_check {
            root = root.with_agent_check(socket)?;
        }
        admin.runs(root.observer(), Arc::clone(&agent), rules.total());
        let signals = SIGNALS.map(|(kind, what)| Ok((signal(kind)?, what)));
        let signals = signals.into_iter().collect::<io::Result<Vec<_>>>()?;
        // Those that came before come now.
        signals::release();
        let (end, ending) = oneshot::channel();
        let actor = ServiceActor::create(|ctx| {
            for (signals, what) in signals {
                ServiceActor::watch(signals, what, ctx);
            }
            ctx.spawn(wrap_future::<_, ServiceActor>(async move { tainted.notified().await }).map(
                |(), service, _| {
                    error!(
                        service.log,
                        # "tainted", "tainted: an engine faulted in this process; it finishes what it has and is replaced"
                    );
                    service.replace();
                },
            ));
            let root = root.spawn(ctx.address().recipient());
            if let Some(period) = manager.period() {
                ctx.run_interval(period, |service: &mut ServiceActor, _| service.root.do_send(Ping));
            }
            ServiceActor {
                root,
                manager,
                tls,
                settings,
                agent,
                rules,
                reloading: Reloading::No,
                reopen_again: false,
                logs,
                is_stopping: false,
                starter,
                successor: Some(successor),
                predecessor,
                heir: None,
                files_are_others,
                is_replaced: false,
                admin,
                statistics: Statistics::new(),
                reload_began: Instant::now(),
                failure: None,
                end: Some(end),
                log: log.clone(),
            }
        });
        if let Some(watch) = watch {
            watch.start(actor.clone().recipient(), log.clone())?;
        }
        Ok(Self { _actor: actor, ending })
    }

    /// Waits for the end of the tree.
    pub(crate) async fn ended(self) -> Ending {
        // The sender is dropped only with the actor, and then the tree is gone too.
        self.ending.await.unwrap_or(Ending::Stopped)
    }
}

/// The actor above Root. It passes signals on to the tree, and the end of the tree on to [`Service::ended`].
struct ServiceActor {
    root: Addr<Root<ModSecurityAgent>>,
    manager: ServiceManager,
    tls: Option<TlsServer>,
    settings: Arc<Settings>,
    agent: Arc<ModSecurityAgent>,
    /// The rules in use.
    rules: LoadedRules,
    reloading: Reloading,
    /// The log files are to be opened anew when the rules have been read.
    reopen_again: bool,
    logs: Logs,
    /// SIGTERM or SIGINT has come.
    is_stopping: bool,
    /// Who waits for the tree to be ready.
    starter: Starter,
    /// Holds the sockets open for a new process; dropped at SIGTERM and SIGINT.
    successor: Option<Successor>,
    /// Who waits to hand over to this process, until it is ready.
    predecessor: Option<Predecessor>,
    /// The process to hand over to, until it is ready.
    heir: Option<Heir>,
    /// Another process looks after the files of Unix sockets: the predecessor has not handed over yet, or this one has.
    files_are_others: Arc<AtomicBool>,
    /// The tree was stopped in order to replace the process.
    is_replaced: bool,
    /// What is shown of the service.
    admin: Arc<AdminState>,
    /// Without `--admin`: the line of the log.
    statistics: Statistics,
    /// When the reload that is under way began.
    reload_began: Instant,
    /// Why the tree stops by itself.
    failure: Option<String>,
    end: Option<oneshot::Sender<Ending>>,
    log: Logger,
}

/// Whether the rules are being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reloading {
    No,
    Yes,
    /// Another SIGHUP came while the rules were being read, so they are read once more.
    Again,
}

impl ServiceActor {
    /// Waits for the next signal of one kind, handles it, and waits again.
    fn watch(mut signals: Signal, what: OnSignal, ctx: &mut Context<Self>) {
        let next = async move {
            signals.recv().await;
            signals
        };
        ctx.spawn(wrap_future::<_, Self>(next).map(move |signals, service: &mut Self, ctx| {
            match what {
                OnSignal::Stop(name) => service.stop(name),
                OnSignal::Reload(name) => {
                    service.logs.reopen();
                    info!(service.log, # "reloading", "reloading"; "signal" => name);
                    service.reload(ctx);
                }
                OnSignal::Reopen(name) => {
                    info!(service.log, # "reopening_logs", "reopening logs"; "signal" => name);
                    service.reopen_logs();
                }
                OnSignal::Upgrade(name) => service.upgrade(name, ctx),
            }
            Self::watch(signals, what, ctx);
        }));
    }

    /// The tree serves.
    fn ready(&mut self, ctx: &Context<Self>) {
        match self.predecessor.take().map(|predecessor| predecessor.take_over(ctx.address().recipient())) {
            None => {
                self.manager.ready();
                self.starter.ready();
            }
            Some(Ok(())) => {}
            // The predecessor is told by the end of this process, and goes on.
            Some(Err(error)) => {
                self.failure = Some(format!("cannot take over: {error}"));
                self.root.do_send(Stop);
            }
        }
    }

    /// Stops the tree; at once when it is stopping already.
    fn stop(&mut self, signal: &'static str) {
        if std::mem::replace(&mut self.is_stopping, true) {
            warn!(self.log, # "stopping_at_once", "stopping at once, what is in flight is not answered"; "signal" => signal);
            self.end_with(Ending::Abandoned);
            return;
        }
        // This closes the sockets, once the tree does, so that nobody can connect any more.
        self.successor = None;
        info!(self.log, # "stopping", "stopping"; "signal" => signal,
            "grace_ms" => self.settings.tree.grace.as_millis() as u64);
        self.manager.stopping();
        if let Some(heir) = self.heir.take() {
            heir.kill();
        }
        self.root.do_send(Leave);
    }

    /// Starts a reload or, while one is under way, makes another follow it.
    fn reload(&mut self, ctx: &Context<Self>) {
        if self.reloading == Reloading::No {
            self.reloading = Reloading::Yes;
            self.reload_began = Instant::now();
            self.manager.reloading();
            reload::start(Arc::clone(&self.settings), self.log.clone(), ctx.address().recipient());
        } else {
            self.reloading = Reloading::Again;
        }
    }

    /// Writes the statistics line, where nobody can ask for metrics.
    fn tell_statistics(&mut self) {
        if self.settings.admin.is_none() {
            self.statistics.log(&self.admin, &self.log);
        }
    }

    /// Opens all log files anew, after they were moved away: those of the agent, and those that the rules name.
    fn reopen_logs(&mut self) {
        self.logs.reopen();
        // Rules that are being read may have opened the old files.
        self.reopen_again |= self.reloading != Reloading::No;
        if self.agent.reopen_logs(&self.log) {
            self.root.do_send(ReloadEngines);
        }
    }

    /// Starts a new process to hand over to, unless this one is about to be replaced or has just been started so.
    fn upgrade(&mut self, signal: &str, ctx: &Context<Self>) {
        let is_free =
            self.heir.is_none() && !self.is_replaced && !self.files_are_others.load(Ordering::Relaxed);
        let Some(successor) = self.successor.as_ref().filter(|_| is_free) else {
            warn!(self.log, # "upgrade_refused", "not upgrading, the process is being replaced already"; "signal" => signal);
            return;
        };
        match Heir::start(successor, ctx.address().recipient()) {
            Ok(heir) => {
                info!(self.log, # "upgrading", "upgrading, a new process reads its options and rules";
                    "signal" => signal, "process" => heir.pid());
                self.heir = Some(heir);
            }
            Err(error) => self.upgrade_failed(&error),
        }
    }

    fn upgrade_failed(&mut self, cause: &HandoverError) {
        error!(self.log, # "upgrade_failed", "cannot upgrade, this process goes on"; "cause" => ?cause.to_string());
        self.manager.upgrade_failed(&cause.to_string());
    }

    /// Tells how the service ended.
    fn finish(&mut self) {
        self.tell_statistics();
        let ending = match (self.failure.take(), self.successor.take().filter(|_| self.is_replaced)) {
            (Some(cause), _) => Ending::Failed(cause),
            (None, Some(successor)) => Ending::Replaced(successor),
            (None, None) => Ending::Stopped,
        };
        self.end_with(ending);
    }

    fn end_with(&mut self, ending: Ending) {
        if let Some(end) = self.end.take() {
            // The receiver is gone when the program ends for another reason.
            let _ = end.send(ending);
        }
    }

    /// Stops the tree in order to replace the process.
    fn replace(&mut self) {
        self.is_replaced = true;
        self.root.do_send(Stop);
    }
}

impl Actor for ServiceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Statistics::INTERVAL, |service, _| service.tell_statistics());
    }
}

impl Handler<Reloaded> for ServiceActor {
    type Result = ();

    fn handle(&mut self, Reloaded(outcome): Reloaded, ctx: &mut Self::Context) {
        let rules = match &outcome {
            Ok(Reload::Engines(_, rules, _) | Reload::Process(rules)) => Ok(rules.total()),
            Err(cause) => Err(cause.to_string()),
        };
        self.admin.reloaded(self.reload_began.elapsed(), rules);
        match outcome {
            Ok(Reload::Engines(isolation, rules, config)) => {
                if let (Some(tls), Some(config)) = (&self.tls, config) {
                    tls.replace(config);
                }
                let generation = self.agent.replace(isolation, Applications::of(&rules.sources));
                info!(self.log, # "rules_reloaded", "rules reloaded"; "rules_in_engine" => rules.total(),
                    "rules_before" => self.rules.total(), "generation" => generation);
                rules_report::log_reload(&self.log, &self.settings, &self.rules, &rules);
                self.rules = rules;
                self.root.do_send(ReloadEngines);
                self.manager.reloaded(None);
            }
            Ok(Reload::Process(rules)) => {
                info!(self.log, # "rules_checked", "rules are right, replacing the process"; "rules_in_engine" => rules.total(),
                    "rules_before" => self.rules.total());
                rules_report::log_reload(&self.log, &self.settings, &self.rules, &rules);
                self.replace();
            }
            Err(cause) => {
                error!(self.log, # "reload_failed", "cannot reload, the old rules stay"; "cause" => ?cause.to_string());
                self.manager.reloaded(Some(cause.to_string()));
                // Log files that were moved away are opened anew all the same.
                self.reopen_again = true;
            }
        }
        if std::mem::take(&mut self.reopen_again) && !self.is_replaced {
            self.reopen_logs();
        }
        if std::mem::replace(&mut self.reloading, Reloading::No) == Reloading::Again {
            self.reload(ctx);
        }
    }
}

impl Handler<HeirNews> for ServiceActor {
    type Result = ();

    fn handle(&mut self, HeirNews(news): HeirNews, _: &mut Self::Context) {
        // Without one, this process has been told to stop meanwhile, and so was the heir.
        let Some(heir) = self.heir.take() else { return };
        if let Err(error) = news {
            return self.upgrade_failed(&error);
        }
        info!(self.log, # "upgraded", "upgraded, the new process serves; this one answers what it has"; "process" => heir.pid());
        self.files_are_others.store(true, Ordering::Relaxed);
        self.manager.handed_over(heir.pid());
        heir.go();
        self.successor = None;
        self.root.do_send(Stop);
    }
}

impl Handler<TakenOver> for ServiceActor {
    type Result = ();

    fn handle(&mut self, _: TakenOver, _: &mut Self::Context) {
        info!(self.log, # "taken_over", "taken over from the process before");
        self.files_are_others.store(false, Ordering::Relaxed);
        if let Some(Err(error)) =
            self.successor.as_ref().and_then(Successor::pid_file).map(pid_file::write_number)
        {
            error!(self.log, # "pid_file_not_written", "cannot write the pid file, it has the number of the process before";
                "cause" => ?error.to_string());
        }
        self.manager.ready();
    }
}

impl Handler<FilesChanged> for ServiceActor {
    type Result = ();

    fn handle(&mut self, FilesChanged { file }: FilesChanged, ctx: &mut Self::Context) {
        info!(self.log, # "file_changed", "reloading, a file has changed"; "file" => ?file);
        self.reload(ctx);
    }
}

impl Handler<TreeEvent> for ServiceActor {
    type Result = ();

    fn handle(&mut self, event: TreeEvent, ctx: &mut Self::Context) {
        match event {
            TreeEvent::Ready => {
                self.ready(ctx);
                return;
            }
            TreeEvent::Alive { verdicts } => {
                self.manager.alive(verdicts);
                return;
            }
            TreeEvent::Failed(cause) => {
                self.starter.failed(&format!("{NOT_STARTED}: {cause}"));
                self.failure = Some(cause);
                return;
            }
            TreeEvent::Stopped => {}
        }
        if self.is_replaced && self.successor.is_some() {
            // A signal that was caught before this is heard in the next turn; one that comes later is the successor's.
            signals::hold_all();
            ctx.run_later(NEXT_TURN, |service, _| service.finish());
        } else {
            self.finish();
        }
    }
}

/// What a signal does, with the name of the signal for the log.
#[derive(Clone, Copy)]
enum OnSignal {
    Stop(&'static str),
    Reload(&'static str),
    Reopen(&'static str),
    Upgrade(&'static str),
}

/// The signals that the service handles.
const SIGNALS: [(SignalKind, OnSignal); 5] = [
    (SignalKind::terminate(), OnSignal::Stop("SIGTERM")),
    (SignalKind::interrupt(), OnSignal::Stop("SIGINT")),
    (SignalKind::hangup(), OnSignal::Reload("SIGHUP")),
    (SignalKind::user_defined1(), OnSignal::Reopen("SIGUSR1")),
    (SignalKind::user_defined2(), OnSignal::Upgrade("SIGUSR2")),
];
