//! Phones over bad networks, in virtual time: what is heard of them, and how late.

mod conceals;
mod delays;
mod listener;
mod network;
mod sound;
mod streams;
