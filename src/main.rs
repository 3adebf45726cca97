//! `quilt`: arguments, logging, run.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, CommandFactory, Parser, Subcommand};
use quilt::config::{Written, check_environment};
use quilt::id::RoomName;
use quilt::load;
use quilt::quiet;
use quilt::systemd::Manager;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The first signal begins the end, the second hastens it; more say nothing new.
const STOPS: usize = 2;
/// How long the end takes when no meeting is waited for, with some room.
const END: Duration = Duration::from_secs(10);

/// An MCU for video meetings: one uplink and one mixed downlink for everybody.
#[derive(Parser)]
#[command(name = "quilt", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Run the server (also what `quilt` alone does)
    Serve(Box<Serve>),
    /// Send real WebRTC clients into a room, and report what they see and hear
    Load(load::Options),
    /// Have clients come and go, and tell what of the server did not go with them
    Churn(load::churn::ChurnOptions),
    /// Measure what a room costs beside the codecs alone; fails if something was not reached
    Bench(load::bench::BenchOptions),
    /// Hold the same meeting as mesh, SFU and MCU, and report what each way costs
    Tradeoff(load::tradeoff::TradeoffOptions),
    /// Run the server that `quilt bench` compares with
    #[command(hide = true)]
    Naive(load::naive::NaiveOptions),
}

#[derive(Args)]
struct Serve {
    /// Settings file; the command line and the environment go over it
    #[arg(long, env = "QUILT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Written,
}

fn main() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            // The whole chain in one line; a backtrace tells a user nothing.
            eprintln!("quilt: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<ExitCode> {
    tame_allocator();
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::EnvFilter::try_from_env("QUILT_LOG")
                .unwrap_or_else(|_| "error,quilt=info".into()),
        )
        .with(quiet::Ceiling::new(|lines| {
            eprintln!("({lines} more lines about strangers and their packets)");
        }))
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(colours()),
        )
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    match arguments
        .command
        .unwrap_or(Subcommands::Serve(Box::new(arguments.serve)))
    {
        Subcommands::Serve(serve) => runtime.block_on(run(*serve))?,
        Subcommands::Load(options) => runtime.block_on(generate_load(options))?,
        Subcommands::Churn(options) => {
            if !runtime.block_on(churn(options))? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Subcommands::Tradeoff(options) => runtime.block_on(load::tradeoff::tradeoff(options))?,
        Subcommands::Naive(options) => runtime.block_on(load::naive::serve(options))?,
        Subcommands::Bench(options) => {
            if !runtime.block_on(load::bench::bench(options))? {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the log goes to eyes that want colours (<https://no-color.org>); in a journal they are
/// noise.
fn colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && std::io::stderr().is_terminal()
}

/// From this size on, bytes, memory is mapped from and given back to the operating system. What is
/// larger are pictures, which pools keep and hand round, and encoders' and decoders' tables, which
/// come and go with participants.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 64 * 1024;

/// Keeps the C library from holding on to memory that nobody uses.
///
/// Threads share two heaps. By default each of our dozens of threads (three for a pipeline) grows
/// one of its own, and pictures that are made on one and freed on another leave holes in both: at
/// eight participants that was 20 % more resident memory.
///
/// Large pieces are mapped. By default the C library moves its limit up to the largest piece that
/// was ever given back, so that after the first picture all of them lie in the heaps, between what
/// stays: after 500 visits to an empty server that was 370 MB, and 100 MB with a limit that stays.
/// The CPU time of a room of four is the same.
fn tame_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers and touches only the allocator's own settings; no other
    // thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

async fn generate_load(options: load::Options) -> anyhow::Result<()> {
    let json = options.json;
    let report = load::run(options).await?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

/// Answers whether all was well.
async fn churn(options: load::churn::ChurnOptions) -> anyhow::Result<bool> {
    let json = options.json;
    let report = load::churn::run(options).await?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(report.complaints().is_empty())
}

async fn run(serve: Serve) -> anyhow::Result<()> {
    check_environment(std::env::vars().map(|(name, _)| name), &known_variables())?;
    let below = match &serve.config {
        Some(path) => Written::from_file(path)?,
        None => Written::default(),
    };
    let settings = serve.settings.over(below).settle()?;
    let (demo, tls) = (settings.demo, settings.tls.is_some());
    let manager = Manager::from_environment().context("NOTIFY_SOCKET")?;
    let manager = manager.map(Arc::new);
    let stop = stop_signals(manager.clone(), settings.drain_timeout + END)?;
    let server = quilt::Server::bind(settings).await?;
    let (http, rtc) = (server.http().to_string(), server.rtc().to_string());
    // The first line on standard output: programs that start us read the addresses from it.
    let addresses = serde_json::json!({ "http": http, "rtc": rtc, "tls": tls });
    println!("{addresses}");
    for host in hosts(server.http()) {
        tracing::info!("open {}://{host}/", if tls { "https" } else { "http" });
    }
    if demo {
        // Plain HTTP even with TLS: they are on this machine.
        tokio::spawn(fill_demo_room(format!("http://{http}/")));
    }
    if let Some(manager) = manager {
        manager.ready();
        let rooms = server.rooms();
        // What hangs most easily is what everybody needs: if the rooms answer, the server lives.
        tokio::spawn(async move { manager.watch(async || drop(rooms.summaries())).await });
    }
    server.run(stop).await
}

/// What to write into a browser's address bar.
fn hosts(listen: SocketAddr) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    let mut addresses = quilt::peer::addresses();
    addresses.retain(|address| address.is_ipv4());
    let hosts = addresses.into_iter();
    hosts
        .map(|host| SocketAddr::new(host, listen.port()))
        .collect()
}

/// Keeps synthetic people in the room `demo`, who come in through the same door as everybody.
async fn fill_demo_room(url: String) {
    let room = RoomName::new("demo").expect("a valid name");
    tracing::info!("four synthetic people are on their way to {url}r/demo");
    // They stay as long as the process; its end is theirs.
    if let Err(error) = load::demo::synthetic(&url, room, 4, std::future::pending()).await {
        tracing::error!(%error, "the demonstration's people cannot come");
    }
}

/// Every environment variable that some argument reads.
fn known_variables() -> Vec<String> {
    let command = Arguments::command();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    let arguments = all.flat_map(|command| command.get_arguments());
    let mut known: Vec<_> = arguments
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
        .collect();
    known.push("QUILT_LOG".into());
    known
}

/// Yields at each SIGTERM and SIGINT, of which the service manager is told, too: the end takes
/// `longest_end` at most.
fn stop_signals(
    manager: Option<Arc<Manager>>,
    longest_end: Duration,
) -> std::io::Result<mpsc::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stops, stop) = mpsc::channel(STOPS);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if let Some(manager) = &manager {
                manager.stopping(longest_end);
            }
            // Where it is full, enough has been said.
            let _ = stops.try_send(());
        }
    });
    Ok(stop)
}
