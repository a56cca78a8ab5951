//! Where engines run: in processes of their own, or in threads of the agent's, and the watch over them.

pub mod process;
pub mod thread;
mod watchdog;
