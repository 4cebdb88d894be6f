//! A user-space cable between two network interfaces that delays every frame:
//! `link A MAC-OF-A B MAC-OF-B DELAY-MS`. Each interface forwards only frames from its host, so that this
//! program doesn't receive what it sent. For kernels without netem; needs permission to open raw sockets.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of frames in flight in each direction.
const IN_FLIGHT: usize = 4096;
/// An Ethernet frame with its header, and room for frames that the network card merged.
const LONGEST: usize = 65_600;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [a, mac_a, b, mac_b, delay] = words.as_slice() else {
        return Err(io::Error::other("link A MAC-OF-A B MAC-OF-B DELAY-MS"));
    };
    let delay = Duration::from_millis(delay.parse().map_err(io::Error::other)?);
    let (end_a, end_b) = (open(a)?, open(b)?);
    let back = carry(end_b.try_clone()?, mac(mac_b)?, end_a.try_clone()?, delay);
    let forth = carry(end_a, mac(mac_a)?, end_b, delay);
    drop((back.join(), forth.join()));
    Ok(())
}

/// `02:00:00:00:00:01` -> its six bytes.
fn mac(text: &str) -> io::Result<Vec<u8>> {
    text.split(':').map(|byte| u8::from_str_radix(byte, 16).map_err(io::Error::other)).collect()
}

/// Forwards frames from one end to the other in order, each after `delay`.
fn carry(
    mut from: Socket,
    sender: Vec<u8>,
    mut to: Socket,
    delay: Duration,
) -> std::thread::JoinHandle<()> {
    let (put, take) = mpsc::sync_channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    std::thread::spawn(move || {
        while let Ok((due, frame)) = take.recv() {
            pause(due.saturating_duration_since(Instant::now()));
            // Like a cable, loses frames that are too long for the other end, or if that end is down.
            drop(to.write(&frame));
        }
    });
    std::thread::spawn(move || {
        let mut frame = vec![0; LONGEST];
        loop {
            match from.read(&mut frame) {
                Ok(length) if length >= 14 && frame[6..12] == sender[..] => {
                    // Drops frames at the limit.
                    drop(put.try_send((Instant::now() + delay, frame[..length].to_vec())));
                }
                Ok(_) => {}
                // The interface is down, and may come back up.
                Err(_) => pause(Duration::from_millis(10)),
            }
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "it delays frames")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A socket for raw frames of one interface.
fn open(interface: &str) -> io::Result<Socket> {
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
    let index = index.trim().parse().map_err(io::Error::other)?;
    let every_protocol =
        i32::from(u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be());
    let socket = Socket::new(
        Domain::from(libc::AF_PACKET),
        Type::from(libc::SOCK_RAW),
        Some(Protocol::from(every_protocol)),
    )?;
    socket.bind(&address(index)?)?;
    Ok(socket)
}

#[expect(unsafe_code, reason = "no safe interface creates the address of a packet socket")]
fn address(index: i32) -> io::Result<SockAddr> {
    let write = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
        let protocol = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be();
        let size =
            libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
        // SAFETY: the storage is zeroed, aligned for every kind of address, and larger than this one;
        // both pointers are valid for writes during this call.
        unsafe {
            let address = storage.cast::<libc::sockaddr_ll>();
            (*address).sll_family = family;
            (*address).sll_protocol = protocol;
            (*address).sll_ifindex = index;
            *length = size;
        }
        Ok(())
    };
    // SAFETY: `write` initializes a complete `sockaddr_ll` and its length.
    let ((), address) = unsafe { SockAddr::try_init(write) }?;
    Ok(address)
}
