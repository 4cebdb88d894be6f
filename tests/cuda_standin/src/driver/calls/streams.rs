//! Streams, events, captures and graphs.

use super::{Pointer, c_functions, of};
use crate::driver::code::{self, Code};
use crate::driver::graphs::{Capture, Exec, Node};
use crate::driver::state::{Event, State, Stream};
use crate::driver::write;
use crate::report::{Graph, Work};
use std::ffi::{c_int, c_uint, c_ulonglong};
use std::sync::Arc;
use std::time::Instant;

fn create(state: &mut State, out: *mut usize) -> Result<(), Code> {
    let context = state.context()?.0;
    let handle = state.handle();
    state.streams.insert(handle, Stream { context, capture: None });
    write(out, handle)
}

/// A stream that exists, or the default one.
fn known(state: &State, stream: Pointer) -> Result<(), Code> {
    state.capture_of(of(stream)).map(|_| ())
}

#[expect(clippy::disallowed_methods, reason = "events are marks of time")]
fn record(state: &mut State, event: Pointer, stream: Pointer) -> Result<(), Code> {
    state.context()?;
    let capture = state.capture_of(of(stream))?;
    let event = state.events.get_mut(&of(event)).ok_or(code::INVALID_HANDLE)?;
    event.capture = capture;
    event.recorded = if capture.is_none() { Some(Instant::now()) } else { None };
    Ok(())
}

fn elapsed(state: &State, out: *mut f32, start: Pointer, end: Pointer) -> Result<(), Code> {
    let at = |event: Pointer| {
        let event = state.events.get(&of(event)).ok_or(code::INVALID_HANDLE)?;
        event.recorded.ok_or(code::INVALID_HANDLE)
    };
    let (start, end) = (at(start)?, at(end)?);
    let later = end.saturating_duration_since(start).as_secs_f32();
    write(out, (later - start.saturating_duration_since(end).as_secs_f32()) * 1e3)
}

c_functions! {
    /// A stream.
    fn cuStreamCreate(out: *mut usize, _flags: c_uint) |state| { create(state, out) }

    /// Priorities make no difference.
    fn cuStreamCreateWithPriority(out: *mut usize, _flags: c_uint, _priority: c_int) |state| {
        create(state, out)
    }

    /// Its work has been done.
    fn cuStreamDestroy_v2(stream: Pointer) |state| {
        state.streams.remove(&of(stream)).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// Says whether the work failed.
    fn cuStreamSynchronize(stream: Pointer) |state| {
        state.not_capturing(of(stream))?;
        state.context().map(|_| ())
    }

    /// The same: no work is left.
    fn cuStreamQuery(stream: Pointer) |state| {
        state.not_capturing(of(stream))?;
        state.context().map(|_| ())
    }

    /// Work has been done in the order of the calls, so only captures have to be checked: one that
    /// recorded the event takes the stream in, and waiting for work outside a capture spoils it.
    fn cuStreamWaitEvent(stream: Pointer, event: Pointer, _flags: c_uint) |state| {
        state.context()?;
        let waiting = state.capture_of(of(stream))?;
        let event = state.events.get(&of(event)).ok_or(code::INVALID_HANDLE)?;
        let (is_recorded, recording) = (event.recorded.is_some(), event.capture);
        match (waiting, recording) {
            (Some(capture), None) if is_recorded => {
                if let Some(capture) = state.captures.get_mut(&capture) {
                    capture.is_valid = false;
                }
                Err(code::CAPTURE_ISOLATION)
            }
            (_, None) => Ok(()),
            (Some(one), Some(other)) if one == other => Ok(()),
            (Some(_), Some(_)) => Err(code::CAPTURE_UNMATCHED),
            (None, Some(capture)) => {
                if !state.captures.contains_key(&capture) {
                    return Err(code::INVALID_VALUE);
                }
                let stream = state.streams.get_mut(&of(stream)).ok_or(code::CAPTURE_UNSUPPORTED)?;
                stream.capture = Some(capture);
                Ok(())
            }
        }
    }

    /// An event.
    fn cuEventCreate(out: *mut usize, _flags: c_uint) |state| {
        state.context()?;
        let handle = state.handle();
        state.events.insert(handle, Event { recorded: None, capture: None });
        write(out, handle)
    }

    /// Marks the present, or the place in a capture.
    fn cuEventRecord(event: Pointer, stream: Pointer) |state| { record(state, event, stream) }

    /// The same.
    fn cuEventRecordWithFlags(event: Pointer, stream: Pointer, _flags: c_uint) |state| {
        record(state, event, stream)
    }

    /// What was recorded has been done.
    fn cuEventQuery(event: Pointer) |state| {
        state.context()?;
        state.events.get(&of(event)).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// The same.
    fn cuEventSynchronize(event: Pointer) |state| {
        state.context()?;
        state.events.get(&of(event)).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// Milliseconds of the host's time.
    fn cuEventElapsedTime(out: *mut f32, start: Pointer, end: Pointer) |state| {
        elapsed(state, out, start, end)
    }

    /// The same.
    fn cuEventElapsedTime_v2(out: *mut f32, start: Pointer, end: Pointer) |state| {
        elapsed(state, out, start, end)
    }

    /// Forgets an event.
    fn cuEventDestroy_v2(event: Pointer) |state| {
        state.events.remove(&of(event)).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// Work of the stream is kept from now on.
    fn cuStreamBeginCapture_v2(stream: Pointer, _mode: c_uint) |state| {
        state.context()?;
        let origin = of(stream);
        if origin <= 2 {
            return Err(code::CAPTURE_UNSUPPORTED);
        }
        if state.capture_of(origin)?.is_some() {
            return Err(code::INVALID_VALUE);
        }
        let handle = state.handle();
        state.captures.insert(handle, Capture { origin, nodes: Vec::new(), is_valid: true });
        state.streams.get_mut(&origin).ok_or(code::INVALID_HANDLE)?.capture = Some(handle);
        Ok(())
    }

    /// The graph of what was kept.
    fn cuStreamEndCapture(stream: Pointer, out: *mut usize) |state| {
        let handle = state.capture_of(of(stream))?.ok_or(code::INVALID_VALUE)?;
        if state.captures.get(&handle).is_some_and(|capture| capture.origin != of(stream)) {
            return Err(code::CAPTURE_UNMATCHED);
        }
        let capture = state.captures.remove(&handle).ok_or(code::CAPTURE_INVALIDATED)?;
        for stream in state.streams.values_mut() {
            stream.capture = stream.capture.filter(|of| *of != handle);
        }
        if !capture.is_valid {
            write(out, 0)?;
            return Err(code::CAPTURE_INVALIDATED);
        }
        let graph = state.handle();
        state.graphs.insert(graph, Arc::new(capture.nodes));
        write(out, graph)
    }

    /// 0: no; 1: yes; 2: it was spoilt.
    fn cuStreamIsCapturing(stream: Pointer, out: *mut c_uint) |state| {
        let capture = state.capture_of(of(stream))?;
        let is_valid = |handle| state.captures.get(&handle).is_some_and(|capture| capture.is_valid);
        write(out, capture.map_or(0, |handle| if is_valid(handle) { 1 } else { 2 }))
    }

    /// The number of nodes, and as many of them as there is room for.
    fn cuGraphGetNodes(graph: Pointer, nodes: *mut usize, count: *mut usize) |state| {
        let all = state.graphs.get(&of(graph)).ok_or(code::INVALID_HANDLE)?;
        if count.is_null() {
            return Err(code::INVALID_VALUE);
        }
        if !nodes.is_null() {
            // SAFETY: the caller says how many places there are.
            let room = unsafe { count.read() };
            for at in 0..room.min(all.len()) {
                // SAFETY: as above. A node's handle is its place in the graph.
                unsafe { nodes.add(at).write((of(graph) << 20) | (at + 1)) };
            }
        }
        write(count, all.len())
    }

    /// What a node does, by its number.
    fn cuGraphNodeGetType(node: Pointer, out: *mut c_uint) |state| {
        let (graph, at) = (of(node) >> 20, of(node) & 0xf_ffff);
        let nodes = state.graphs.get(&graph).ok_or(code::INVALID_HANDLE)?;
        let node = at.checked_sub(1).and_then(|at| nodes.get(at)).ok_or(code::INVALID_HANDLE)?;
        write(out, node.kind())
    }

    /// A graph that can be launched.
    fn cuGraphInstantiateWithFlags(out: *mut usize, graph: Pointer, _flags: c_ulonglong) |state| {
        let nodes = state.graphs.get(&of(graph)).ok_or(code::INVALID_HANDLE)?.clone();
        let kernels = nodes.iter().filter(|node| matches!(node, Node::Kernel { .. })).count();
        let index = state.report.graphs.len();
        state.report.graphs.push(Graph {
            nodes: nodes.len(),
            kernel_nodes: kernels,
            ..Graph::default()
        });
        let handle = state.handle();
        state.execs.insert(handle, Exec { nodes, index });
        write(out, handle)
    }

    /// Executes all nodes in the order in which they were captured.
    fn cuGraphLaunch(exec: Pointer, stream: Pointer) |state| {
        let context = state.context()?.0;
        state.not_capturing(of(stream))?;
        let exec = state.execs.get(&of(exec)).ok_or(code::INVALID_HANDLE)?.clone();
        let mut work = Work::default();
        for node in exec.nodes.iter() {
            work.add(&state.execute(context, node)?);
            if state.context().is_err() {
                break;
            }
        }
        state.report.graph_launches += 1;
        let graph = &mut state.report.graphs[exec.index];
        graph.launches += 1;
        graph.last = work;
        Ok(())
    }

    /// Nothing to prepare.
    fn cuGraphUpload(exec: Pointer, stream: Pointer) |state| {
        known(state, stream)?;
        state.execs.get(&of(exec)).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// Forgets an instantiated graph.
    fn cuGraphExecDestroy(exec: Pointer) |state| {
        state.execs.remove(&of(exec)).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// Forgets a graph; what was instantiated of it stays.
    fn cuGraphDestroy(graph: Pointer) |state| {
        state.graphs.remove(&of(graph)).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }
}
