package lifecycle

// Params are the parameters of a reason: the numbers that its text has. Zero values are absent.
type Params struct {
	ExitCode         *int `json:"exitCode,omitempty"` // of the run that ended; 128+n for an end by signal n
	Signal           int  `json:"signal,omitempty"`   // that ended the run
	MemoryLimitMiB   int  `json:"memoryLimitMiB,omitempty"`
	FailedChecks     int  `json:"failedChecks,omitempty"` // in a row
	FailureThreshold int  `json:"failureThreshold,omitempty"`
	Failures         int  `json:"failures,omitempty"` // within Window
	FailedAttempts   int  `json:"failedAttempts,omitempty"`
	Port             int  `json:"port,omitempty"`
}

// Nillable returns a pointer to p, nil if it has none.
func (p Params) Nillable() *Params {
	if p == (Params{}) {
		return nil
	}
	return &p
}

// endParams returns the parameters of the end of a run.
func (l *look) endParams(run Run) Params {
	p := Params{ExitCode: run.ExitCode}
	if run.ExitCode != nil && *run.ExitCode > 128 {
		p.Signal = *run.ExitCode - 128
	}
	if run.OOM != nil && *run.OOM {
		p.MemoryLimitMiB = l.p.MemoryMiB
	}
	return p
}

// stepParams returns the parameters of a failed step.
func (l *look) stepParams(out *Outcome) Params {
	return Params{FailedAttempts: l.s.Watch.Errors, Port: out.Port}
}
