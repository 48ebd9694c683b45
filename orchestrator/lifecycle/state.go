package lifecycle

import "time"

// State is what lifecycle knows of one service. The first three groups are kept in the store; Watch is
// memory only and begins empty when the orchestrator starts.
type State struct {
	// What the user asked for; Next never changes it.
	Desired    Desired
	Generation int // requests to start or restart so far
	// SpecGeneration is raised by every change of the spec that an instance must be created for.
	SpecGeneration int

	// Where the service is.
	Phase  Phase
	Health Health
	Reason string // plain words
	// ReasonCode is the same for programs; empty in rows older than codes.
	ReasonCode ReasonCode
	// Params are those of the reason.
	Params Params
	// LogLine is the line of the engine's log that tells why its newest run failed; empty once it is healthy.
	LogLine string

	// What must survive a restart of the orchestrator.
	Instance          string // the run that was seen healthy last, or that is to be taken down
	Ended             string // the newest run whose end was dealt with
	HandledGeneration int
	// ObservedGeneration is the generation of the spec that the instance was created from, 0 if there is none.
	ObservedGeneration int
	Restarts           int         // automatic attempts since launch, the engine's own included
	EngineRestarts     int         // of the engine's own count, how many were taken note of
	Failures           []time.Time // within the rolling window, oldest first
	Outside            bool        // what it is down for is an act from outside, which is to be undone
	Undone             []time.Time // such acts within the rolling window, oldest first
	CrashLoop          bool        // until Clean of health, or a restart by hand
	EverHealthy        bool        // it was HEALTHY once, so its data exists and is never recreated
	HealthySince       time.Time
	NextRestartAt      time.Time

	Watch Watch
}

// Watch is what is remembered of the present run and of the step under way.
type Watch struct {
	Instance    string // the run that the counters belong to
	GraceUntil  time.Time
	Began       time.Time // when the run was first seen
	LastProbeAt time.Time // start of the newest probe
	Sent        int       // probes of this run
	DeadInARow  int
	OKInARow    int
	Paused      bool // a pause from outside that was taken note of
	NotSetUp    bool // the newest check says so, and no setup has ended since

	Cause       Cause     // of the newest failure
	Prepared    bool      // engine or image is there
	Unstartable bool      // the engine cannot start the instance, but may be able to start a new one
	Errors      int       // failed attempts at the present step
	RetryAt     time.Time // of the present step
}

// Cause sorts failures for those who count them.
type Cause string

const (
	Exited       Cause = "exited"
	OutOfMemory  Cause = "out_of_memory"
	Unresponsive Cause = "unresponsive"
	NotReady     Cause = "not_ready"
	Outside      Cause = "outside" // people or the engine itself
)

// Step is a piece of work at a node. A service has at most one under way.
type Step string

const (
	NoStep      Step = ""
	StepPrepare Step = "prepare" // fetch the engine or image
	StepLaunch  Step = "launch"  // prepare, create and start; before that, stop and remove what is to be replaced
	StepStop    Step = "stop"
	StepRemove  Step = "remove" // stop and remove, with the data if so wished
	// StepAutoRestart tells the engine whether to start it again by itself when it ends.
	StepAutoRestart Step = "auto-restart"
	// StepMark writes the mark file of its volume.
	StepMark Step = "mark"
	// StepRotate makes the engine accept the pending credentials alone.
	StepRotate Step = "rotate"
	// StepSetUp creates what a new engine needs before anyone can use it. It can be repeated.
	StepSetUp Step = "set-up"
	// StepCopy copies its data while nothing else is done with it. Its instance may be frozen or stopped meanwhile.
	StepCopy Step = "copy"
)

// Fault is what a failed step means.
type Fault int

const (
	NoFault     Fault = iota
	Passing           // may pass: tried again with backoff
	Fatal             // will not pass by itself: FAILED
	DataMissing       // FAILED, and the data is not recreated
	Cancelled         // we gave it up ourselves
)

// Outcome of the step that ended since the last look.
type Outcome struct {
	Step  Step
	Fault Fault
	Text  string     // plain words; empty without a fault
	Code  ReasonCode // of the fault; empty for the step's usual one
	Port  int        // that is in use; 0 for another fault
	// Unstartable reports that the instance has to be created again.
	Unstartable bool
}

// Run is what the driver sees of the service now.
type Run struct {
	ID string // differs after every start; empty when there never was one
	// Generation of the spec that the instance was created from, whether it runs or not; 0 if there is none.
	Generation int
	Running    bool
	Paused     bool
	Frozen     bool // paused through the engine, which a launch undoes
	ExitCode   *int
	OOM        *bool
	// Of a run that failed by itself: the line of its log that tells why, and the engine's own word for that (FATAL).
	LogLine, LogWord string

	// For engines that start by themselves what ended.
	Restarting  bool // it ended, and the engine is about to start it again; Running is false
	AutoRestart AutoRestart
	Restarts    int // how often the engine did so since the last start on purpose
	Before      End // how the run before this one ended

	// Act is what ended the run before this one, or this one where it does not run, other than itself.
	Act         Act
	EngineSince time.Time // since when its engine answers without a break; zero: always
}

// Act of people or of the engine on an instance, not by uws.
type Act string

const (
	NoAct     Act = ""
	ActStop   Act = "stop"
	ActKill   Act = "kill"
	ActEngine Act = "engine" // the engine itself was restarted
)

// AutoRestart reports whether the engine starts by itself what ended.
type AutoRestart int

const (
	AutoRestartNever AutoRestart = iota // the engine cannot
	AutoRestartOff
	AutoRestartOn
)

// End of a run, as far as it was seen.
type End struct {
	Seen     bool
	ExitCode int
	OOM      bool
}

// Verdict of a probe.
type Verdict string

const (
	OK    Verdict = "OK"
	Alive Verdict = "ALIVE"
	Dead  Verdict = "DEAD"
	// NotAsked means that nothing was learned: it counts neither for nor against the service.
	NotAsked Verdict = "NOT_ASKED"
)

// Check is the result of a probe that ended since the last look.
type Check struct {
	Instance string // the run that was asked
	Verdict  Verdict
	Detail   string
	Code     ReasonCode // of ALIVE; empty for its usual one
	NotSetUp bool       // ALIVE, and the engine is to be set up
}

// Observation is all that was seen at one look.
type Observation struct {
	Placed   bool   // a node and ports were chosen
	Unplaced string // why not, when not Placed
	NodeDown bool   // the node does not answer: nothing below is known
	Movable  bool   // with NodeDown: nothing was created there, and no node was asked for
	Run      Run
	Rotating bool // there are pending credentials
	Unmarked bool // the mark file of its volume must be written
	DataBack bool // with FAILED for missing data: the volume is there
	Copy     bool // somebody waits to copy its data
	Waits    bool // for the service that has its ports to stop
	Busy     Step // under way now
	Probing  bool // a probe is under way now
	Outcome  *Outcome
	Check    *Check
}

// Action is what Next wants done. At most one at a time.
type Action string

const (
	Wait          Action = ""
	DoPlace       Action = "place"   // choose a node and ports
	DoUnplace     Action = "unplace" // take it off its node, to be placed again
	DoPrepare     Action = "prepare"
	DoLaunch      Action = "launch"
	DoReplace     Action = "replace" // the instance: take it down, keep its data, and launch a new one
	DoStop        Action = "stop"    // within Decision.Grace
	DoRemove      Action = "remove"
	DoCancel      Action = "cancel" // the step under way
	DoProbe       Action = "probe"
	DoForget      Action = "forget"       // the service is gone: drop its row
	DoAutoRestart Action = "auto-restart" // have the engine restart by itself, or not: as State.CrashLoop says
	DoMark        Action = "mark"
	DoRotate      Action = "rotate"
	DoSetUp       Action = "set-up"
	DoCopy        Action = "copy"
	DoLookOver    Action = "look-over" // call Next again with the new state
)

// Decision of Next.
type Decision struct {
	State  State
	Do     Action
	Grace  time.Duration // with DoStop, DoReplace and DoRemove
	WakeAt time.Time     // look again then, whatever happens; zero: only when something happens

	// Told says that an act from outside is an event of its own, whether phase and health change or not.
	Told bool
	// Why, for the event's row.
	Probe    Verdict // of the check that caused it
	ExitCode *int
	OOM      *bool
	LogLine  string // of a run that failed
}

// Times that SPEC's "life of a service" fixes.
const (
	Window         = 10 * time.Minute // in which failures are counted
	Clean          = 10 * time.Minute // of health, clears the count
	CrashLoopAt    = 6                // failures within Window
	CrashLoopRetry = 5 * time.Minute
	FastInterval   = 2 * time.Second // between probes of a suspect or starting service, at most
	FirstProbe     = 50 * time.Millisecond
	Jitter         = 0.25 // of a restart delay, up and down
	MaxRetry       = time.Minute
	// EngineSettle is how long an engine must have answered before what was done to its instances is undone: one that
	// is going down or has just come up stops and starts them itself.
	EngineSettle = 3 * time.Second
	// MaxStoredDeadline bounds deadlines read back from the store: the clock may have been set back.
	MaxStoredDeadline = 5 * time.Minute
)

// restartDelay is the wait before the attempt that follows the nth failure, 1 ≤ n < CrashLoopAt.
func restartDelay(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return time.Second << (n - 2) // 1, 2, 4, 8 s
}

// undoDelay is the wait before an act from outside is undone, after n others within Window.
func undoDelay(n int) time.Duration {
	delays := [...]time.Duration{0, 5 * time.Second, 30 * time.Second, 300 * time.Second}
	return delays[min(n, len(delays)-1)]
}

// retryDelay is the wait before a failed step is tried again after n errors: 1, 2, 4 … 60 s.
func retryDelay(n int) time.Duration {
	if n > 6 {
		return MaxRetry
	}
	return min(time.Second<<(n-1), MaxRetry)
}

// spread moves d by up to ±Jitter; r is random in [0, 1).
func spread(d time.Duration, r float64) time.Duration {
	return time.Duration(float64(d) * (1 - Jitter + 2*Jitter*r))
}
