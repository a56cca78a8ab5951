//! The transformations of rules, for each version of the engine.
