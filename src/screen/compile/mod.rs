//! The rules as the engine reads them, evaluated as far as they do not depend on a request. What is left are guards.
