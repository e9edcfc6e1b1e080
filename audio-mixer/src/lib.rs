//! What phones hear.
