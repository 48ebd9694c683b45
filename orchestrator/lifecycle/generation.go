package lifecycle

// outdated reports whether the instance was created from another generation of the spec than the present one.
func (l *look) outdated() bool {
	return l.o.Run.Generation != 0 && l.o.Run.Generation != l.s.SpecGeneration
}

// replace has a new instance created in place of the present one, which is stopped first if it runs. Its data stays.
func (l *look) replace() {
	l.Grace = l.p.StopGrace
	l.step(DoReplace, StepLaunch)
}
