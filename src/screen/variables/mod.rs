//! The variables of a request, as each version of the engine makes them.
