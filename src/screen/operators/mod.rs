//! The operators of rules, for each version of the engine.
