//! The whole service against a real program: processes, gateway, mappings and schedules.

#[cfg(test)]
mod functions;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
