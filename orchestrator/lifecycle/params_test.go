package lifecycle

import (
	"reflect"
	"testing"
)

// The numbers of a reason are told beside its text, and go with it when it is repeated.
func TestParams(t *testing.T) {
	oom := ended("a", 137)
	oom.Run.OOM = ptr(true)
	dead := Observation{Placed: true, Run: Run{ID: "a", Running: true}, Check: &Check{Instance: "a", Verdict: Dead, Detail: "no answer"}}
	failed := Observation{Placed: true, Outcome: &Outcome{Step: StepLaunch, Fault: Passing, Text: "port 5432 is in use", Code: CodePortInUse, Port: 5432}}
	tests := []struct {
		name  string
		state State
		seen  Observation
		want  Params
		code  ReasonCode
	}{
		{"a signal", running(), ended("a", 139), Params{ExitCode: ptr(139), Signal: 11, Failures: 1}, CodeExited},
		{"an exit", running(), ended("a", 3), Params{ExitCode: ptr(3), Failures: 1}, CodeExited},
		{"out of memory", running(), oom, Params{ExitCode: ptr(137), Signal: 9, MemoryLimitMiB: 64, Failures: 1}, CodeOOMKilled},
		{"a failed check", running(), dead, Params{FailedChecks: 1, FailureThreshold: 3}, CodeProbeFailed},
		{"unresponsive", suspect(2), dead, Params{FailedChecks: 3, FailureThreshold: 3, Failures: 1}, CodeUnresponsive},
		{"a port in use", with(starting(), func(s *State) { s.Watch = Watch{Prepared: true} }), failed, Params{Port: 5432, FailedAttempts: 1}, CodePortInUse},
		{"none", starting(), Observation{Placed: true, Run: Run{ID: "a", Running: true}, Check: &Check{Instance: "a", Verdict: OK, Detail: "logged in"}}, Params{}, CodeHealthy},
	}
	for _, tt := range tests {
		got := settleDown(t, tt.state, tt.seen, t0).State
		if got.ReasonCode != tt.code || !reflect.DeepEqual(got.Params, tt.want) {
			t.Errorf("%s: got %s %+v, want %s %+v", tt.name, got.ReasonCode, got.Params, tt.code, tt.want)
		}
	}
}
