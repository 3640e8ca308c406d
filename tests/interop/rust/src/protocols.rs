// SPDX-License-Identifier: MIT

//! The protocols over raw streams, both parts of each: README.md, "The protocols of the peers".

use std::{
    io::{self, Error},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::{Stream, StreamProtocol};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Barrier;

pub const PING: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");
pub const PERF: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
pub const SUM: StreamProtocol = StreamProtocol::new("/peerup-test/sum/1.0.0");
pub const REVERSE: StreamProtocol = StreamProtocol::new("/peerup-test/reverse/1.0.0");
pub const RESET: StreamProtocol = StreamProtocol::new("/peerup-test/reset/1.0.0");

const CHUNK: usize = 64 << 10;
const DIGEST: usize = 32;
const PING_BYTES: usize = 32;
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// More than all windows and queues between the two, so that a reset finds it under way.
const RESET_ANSWER_BYTES: u64 = 256 << 20;

/// What this peer served: the command "stats".
#[derive(Default)]
pub struct Counters {
    pub sums: AtomicU64,
    pub sums_now: AtomicU64,
    pub sums_peak: AtomicU64,
    pub reverses: AtomicU64,
    pub resets: AtomicU64,
}

impl Counters {
    pub fn json(&self) -> Value {
        json!({
            "sums": self.sums.load(Relaxed), "sums_peak": self.sums_peak.load(Relaxed),
            "reverses": self.reverses.load(Relaxed), "resets": self.resets.load(Relaxed),
        })
    }
}

/// Differs from block to block, and from stream to stream by its tag.
fn pattern(buf: &mut [u8], tag: u8, block: usize) {
    for (i, b) in buf.iter_mut().enumerate() {
        *b = tag ^ (i as u8).wrapping_mul(7) ^ (block as u8).wrapping_mul(31);
    }
}

async fn send_pattern(s: &mut Stream, tag: u8, size: u64) -> io::Result<[u8; DIGEST]> {
    let (mut hash, mut buf, mut left) = (Sha256::new(), vec![0; CHUNK], size);
    for block in 0.. {
        let part = left.min(CHUNK as u64) as usize;
        if part == 0 {
            break;
        }
        pattern(&mut buf[..part], tag, block);
        hash.update(&buf[..part]);
        s.write_all(&buf[..part]).await?;
        left -= part as u64;
    }
    Ok(hash.finalize().into())
}

async fn send_zeros(s: &mut Stream, size: u64) -> io::Result<()> {
    let (buf, mut left) = (vec![0; CHUNK], size);
    while left > 0 {
        let part = left.min(CHUNK as u64) as usize;
        s.write_all(&buf[..part]).await?;
        left -= part as u64;
    }
    Ok(())
}

/// Reads to the end; `each` sees all that comes.
async fn drain(s: &mut Stream, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let (mut buf, mut got) = (vec![0; CHUNK], 0);
    loop {
        match s.read(&mut buf).await? {
            0 => return Ok(got),
            n => {
                each(&buf[..n]);
                got += n as u64;
            }
        }
    }
}

async fn read_u64(s: &mut Stream) -> io::Result<u64> {
    let mut head = [0; 8];
    s.read_exact(&mut head).await?;
    Ok(u64::from_be_bytes(head))
}

async fn read_answer(s: &mut Stream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    drain(s, |b| {
        answer.extend_from_slice(&b[..b.len().min(DIGEST + 1)])
    })
    .await?;
    Ok(answer)
}

fn check(holds: bool, what: &str) -> io::Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::other(what.to_owned()))
    }
}

// ---- serving

pub async fn serve(protocol: StreamProtocol, mut s: Stream, c: &Counters) {
    let s = &mut s;
    let _ = if protocol == SUM {
        serve_sum(s, c).await
    } else if protocol == REVERSE {
        serve_reverse(s, c).await
    } else if protocol == PERF {
        serve_perf(s).await
    } else {
        read_u64(s).await.map(|_| ()) // reset: the stream is dropped here
    };
}

async fn serve_sum(s: &mut Stream, c: &Counters) -> io::Result<()> {
    let announced = read_u64(s).await?;
    let now = c.sums_now.fetch_add(1, Relaxed) + 1;
    c.sums_peak.fetch_max(now, Relaxed);
    let mut hash = Sha256::new();
    let got = drain(s, |b| hash.update(b)).await;
    c.sums_now.fetch_sub(1, Relaxed);
    check(got? == announced, "another length than was announced")?;
    s.write_all(&hash.finalize()).await?;
    s.close().await?;
    c.sums.fetch_add(1, Relaxed);
    Ok(())
}

async fn serve_reverse(s: &mut Stream, c: &Counters) -> io::Result<()> {
    let size = read_u64(s).await?;
    check(size <= ANSWER_BYTES_MAX, "more than the largest answer")?;
    let digest = send_pattern(s, 0, size).await.inspect_err(|_| {
        c.resets.fetch_add(1, Relaxed);
    })?;
    s.write_all(&digest).await?;
    s.close().await?;
    check(read_answer(s).await? == digest, "another digest")?;
    c.reverses.fetch_add(1, Relaxed);
    Ok(())
}

async fn serve_perf(s: &mut Stream) -> io::Result<()> {
    let down = read_u64(s).await?;
    check(down <= ANSWER_BYTES_MAX, "more than the largest answer")?;
    drain(s, |_| ()).await?;
    send_zeros(s, down).await?;
    s.close().await
}

// ---- using

/// No stream sends its bytes before all have sent their length: all are open at the same time.
pub async fn sum(opened: io::Result<Stream>, tag: u8, size: u64, all: &Barrier) -> io::Result<()> {
    let begun = async {
        let mut s = opened?;
        s.write_all(&size.to_be_bytes()).await?;
        s.flush().await?;
        Ok::<_, Error>(s)
    }
    .await;
    all.wait().await;
    let mut s = begun?;
    let digest = send_pattern(&mut s, tag, size).await?;
    s.close().await?;
    check(
        read_answer(&mut s).await? == digest,
        "the answer is not the SHA-256",
    )
}

pub async fn reverse(opened: io::Result<Stream>, size: u64) -> io::Result<()> {
    let mut s = opened?;
    s.write_all(&size.to_be_bytes()).await?;
    s.flush().await?;
    let (mut hash, mut tail, mut got) = (Sha256::new(), Vec::new(), 0);
    drain(&mut s, |b| {
        let body = b.len().min((size - got) as usize);
        hash.update(&b[..body]);
        got += body as u64;
        tail.extend_from_slice(&b[body..]);
    })
    .await?;
    let digest: [u8; DIGEST] = hash.finalize().into();
    check(
        got == size && tail == digest,
        "the bytes and their SHA-256 don't agree",
    )?;
    s.write_all(&digest).await?;
    s.close().await
}

pub async fn perf(mut s: Stream, up: u64, down: u64) -> io::Result<Value> {
    s.write_all(&down.to_be_bytes()).await?;
    send_zeros(&mut s, up).await?;
    s.flush().await?;
    let mut one = [0];
    let early = s.read(&mut one).now_or_never().is_some();
    check(!early, "an answer before the upload's end")?;
    s.close().await?;
    Ok(json!({"received": drain(&mut s, |_| ()).await?, "early": early}))
}

pub async fn ping(mut s: Stream, count: u64) -> io::Result<Value> {
    let mut rtts = Vec::new();
    for i in 0..count {
        let (mut ball, mut answer) = ([0; PING_BYTES], [0; PING_BYTES]);
        pattern(&mut ball, 0, i as usize);
        let start = Instant::now();
        s.write_all(&ball).await?;
        s.flush().await?;
        s.read_exact(&mut answer).await?;
        check(answer == ball, "another answer")?;
        rtts.push(start.elapsed().as_micros() as u64);
    }
    s.close().await?;
    Ok(json!({"rtt_us": rtts}))
}

/// Drops a reverse in the midst of its answer; where that is yamux's, it is a reset.
pub async fn reset(mut s: Stream) -> io::Result<Value> {
    s.write_all(&RESET_ANSWER_BYTES.to_be_bytes()).await?;
    s.flush().await?;
    read_u64(&mut s).await.map(|_| json!({}))
}

/// Writes zeros and reads to the end.
pub async fn open(opened: io::Result<Stream>, size: u64) -> io::Result<Value> {
    let mut s = match opened {
        Ok(s) => s,
        Err(e) => return Ok(json!({"outcome": "not opened", "text": e.to_string()})),
    };
    send_zeros(&mut s, size).await?;
    s.flush().await?;
    Ok(match drain(&mut s, |_| ()).await {
        Ok(n) => json!({"outcome": "end", "bytes": n}),
        Err(e) => json!({"outcome": "reset", "text": e.to_string()}),
    })
}
