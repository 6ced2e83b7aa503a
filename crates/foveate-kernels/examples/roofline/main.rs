//! How close each kernel comes to what the machine can multiply: `roofline --threads 1 --isa avx2`.
//!
//! Every case is run in turn with a loop of bare multiply-adds, round after round; the median of
//! work per cycle (or per second of processor time) is given as a share of that loop's. Beside it stands
//! how fast weights were read, as a share of a plain read of memory.
//!
//! `--listen yes` runs the case named on each line of standard input and answers with a line of JSON, so
//! that others can be measured in turn with it.

mod cases;
#[path = "../../tests/common/random.rs"]
mod random;

use std::io::{BufRead, stdin};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use cases::{BEYOND_CACHES, Case, cases};
use foveate_kernels::{Cpu, CycleCounter, Isa, Result};

/// Rounds of the loop of multiply-adds.
const PEAK_ROUNDS: usize = 1_000_000;

struct Options {
    threads: usize,
    isa: Option<Isa>,
    rounds: usize,
    only: String,
    listen: bool,
}

fn main() -> Result<()> {
    let options = options();
    let counter = CycleCounter::new();
    let threads = NonZeroUsize::new(options.threads);
    let mut cpu = match options.isa {
        Some(isa) => Cpu::with_isa(isa, threads)?,
        None => Cpu::new(threads)?,
    };
    let mut cases = cases(&mut cpu, &options.only)?;
    for case in &mut cases {
        (case.run)(&mut cpu)?;
    }
    if options.listen {
        return listen(&mut cpu, &mut cases);
    }
    measure(&mut cpu, &mut cases, &counter, options.rounds)
}

fn measure(cpu: &mut Cpu, cases: &mut [Case], counter: &CycleCounter, rounds: usize) -> Result<()> {
    let reading = cpu.read_bandwidth(BEYOND_CACHES, rounds)? / 1e9;
    let mut peak = Vec::new();
    let mut speed = vec![Vec::new(); cases.len()];
    let mut wall = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for (i, case) in cases.iter_mut().enumerate() {
            let before = spent(counter);
            let flops = cpu.fma_peak(PEAK_ROUNDS);
            peak.push(flops / (spent(counter) - before) as f64);
            // Short cases are repeated until they take about as long as the peak loop.
            let times = (1e8 / case.flops).ceil().max(1.0);
            let (before, start) = (spent(counter), Instant::now());
            for _ in 0..times as usize {
                (case.run)(cpu)?;
            }
            let (work, elapsed) = (case.flops * times, start.elapsed());
            speed[i].push(work / (spent(counter) - before) as f64);
            wall[i].push(work / elapsed.as_nanos() as f64);
        }
    }
    let peak = median(&mut peak);
    println!(
        "{:?}, {} threads, {rounds} rounds, measured in {}; peak {peak:.1} flop per unit; memory {reading:.1} GB/s",
        cpu.isa(),
        cpu.threads(),
        counter.unit()
    );
    for ((case, speed), wall) in cases.iter().zip(&mut speed).zip(&mut wall) {
        let share = 100.0 * median(speed) / peak;
        let wall = median(wall);
        let read = wall * case.bytes / case.flops;
        let of_memory = 100.0 * read / reading;
        println!(
            "{:<44} {share:>6.1} % {wall:>8.1} GF/s {read:>7.1} GB/s {of_memory:>6.1} %",
            case.name,
        );
    }
    Ok(())
}

/// What has been spent so far, read when all threads are asleep: where processor time is counted, a thread's
/// is brought up to date when it goes to sleep or at the next tick of some milliseconds.
fn spent(counter: &CycleCounter) -> u64 {
    std::thread::sleep(Duration::from_micros(300));
    counter.read()
}

/// Runs what is asked for, and says how long a call takes after one that is not timed.
fn listen(cpu: &mut Cpu, cases: &mut [Case]) -> Result<()> {
    /// A call is repeated until this many seconds have passed.
    const SECONDS: f64 = 0.03;
    println!(
        "{{\"engine\": \"Foveate\", \"version\": \"{}\", \"isa\": \"{:?}\"}}",
        env!("CARGO_PKG_VERSION"),
        cpu.isa()
    );
    for name in stdin().lock().lines().map_while(std::io::Result::ok) {
        let case = cases.iter_mut().find(|case| case.name == name);
        let call: &mut dyn FnMut(&mut Cpu) -> Result<f64> = match case {
            Some(case) => &mut |cpu| (case.run)(cpu).map(|()| case.flops),
            None if name == "peak" => &mut |cpu| Ok(cpu.fma_peak(PEAK_ROUNDS)),
            None => {
                println!("{{\"error\": \"no such case\"}}");
                continue;
            }
        };
        let start = Instant::now();
        let flops = call(cpu)?;
        let times = (SECONDS / start.elapsed().as_secs_f64()).round().max(1.0);
        let start = Instant::now();
        for _ in 0..times as usize {
            call(cpu)?;
        }
        let seconds = start.elapsed().as_secs_f64() / times;
        println!("{{\"seconds\": {seconds:e}, \"flops\": {flops:e}}}");
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options {
        threads: 1,
        isa: None,
        rounds: 7,
        only: String::new(),
        listen: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--threads" => options.threads = value.parse().unwrap_or(1),
            "--rounds" => options.rounds = value.parse().unwrap_or(7),
            "--only" => options.only = value,
            "--listen" => options.listen = value == "yes",
            "--isa" => {
                options.isa = Isa::available()
                    .into_iter()
                    .find(|isa| format!("{isa:?}").eq_ignore_ascii_case(&value));
            }
            _ => eprintln!("unknown option {name}"),
        }
    }
    options
}

fn median(x: &mut [f64]) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}
