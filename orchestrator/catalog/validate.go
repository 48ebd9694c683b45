package catalog

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// FieldError is a mistake in a template or in settings for it. Field is the path of the field, such as "probe.interval"
// or "ports[1].name". Message says what is wrong and what would be right.
type FieldError struct {
	Field   string
	Message string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

const (
	minInterval, maxInterval = time.Second, time.Hour
	minTimeout, maxTimeout   = 100 * time.Millisecond, time.Minute
	minGrace, maxGrace       = time.Second, time.Hour
	minWrite, maxWrite       = 10 * time.Second, time.Hour
	maxThreshold             = 100
	minStop, maxStop         = 100 * time.Millisecond, 10 * time.Minute
	maxLogMiB                = 10240
	minSecret, maxSecret     = 16, 128
	maxPorts                 = 16
	maxDescription           = 500
	maxLimitations           = 16
	maxLimitation            = 300
)

// rule is a pattern and its description.
type rule struct {
	pattern *regexp.Regexp
	words   string
}

func newRule(pattern, words string) rule { return rule{regexp.MustCompile(pattern), words} }

var (
	nameRule       = newRule(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`, "lower-case letters, digits and dashes, at most 63, with a letter or digit at both ends")
	versionRule    = newRule(`^v?[0-9][0-9A-Za-z.+_-]{0,63}$`, `a number and what follows it, such as "1.8.0"`)
	portNameRule   = newRule(`^[a-z][a-z0-9-]{0,30}$`, "lower-case letters, digits and dashes, at most 31, with a letter first")
	credentialRule = newRule(`^[a-zA-Z][a-zA-Z0-9_]{0,62}$`, "letters, digits and underscores, at most 63, with a letter first")
	fixedRule      = newRule(`^[A-Za-z0-9._@-]{1,128}$`, "1 to 128 letters, digits, dots, dashes, underscores or @")
	envRule        = newRule(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`, "letters, digits and underscores, with no digit first")
	fileRule       = newRule(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`, "one name without folders: letters, digits, dots, dashes and underscores, with a letter or digit first")
	userRule       = newRule(`^[a-z0-9_][A-Za-z0-9._-]{0,31}(:[a-z0-9_][A-Za-z0-9._-]{0,31})?$`, `a user of the image, with a group if need be: "postgres" or "999:999"`)
	imageRule      = newRule(`^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$`, `an image reference such as "postgres:18"`)
)

func stopSignals() []string {
	return []string{"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"}
}

// checker collects the mistakes in one template.
type checker struct{ errs []error }

func (c *checker) fail(field, format string, args ...any) {
	c.errs = append(c.errs, &FieldError{Field: plain(field), Message: plain(fmt.Sprintf(format, args...))})
}

func (c *checker) match(field, value string, r rule) {
	switch {
	case value == "":
		c.fail(field, "is missing; must be %s", r.words)
	case !r.pattern.MatchString(value):
		c.fail(field, "is %s; must be %s", quote(value), r.words)
	}
}

func (c *checker) duration(field string, d, low, high time.Duration) {
	if d < low || d > high {
		c.fail(field, "is %s; must be %s to %s", words(d), words(low), words(high))
	}
}

// Check returns the mistakes in a template whose zero values are filled in (see [Template.WithDefaults]), joined, one
// [*FieldError] each. It is not named Validate because ent would then apply it to stored templates, which may be older
// than its rules.
func (t Template) Check() error {
	var c checker
	c.match("name", t.Name, nameRule)
	if !slices.Contains(Kinds(), t.Kind) {
		c.fail("kind", "is %s; must be one of %s", quote(string(t.Kind)), strings.Join(t.Kind.Values(), ", "))
	}
	c.match("version", t.Version, versionRule)
	if len(t.Description) > maxDescription || strings.ContainsFunc(t.Description, isControl) {
		c.fail("description", "must be at most %d bytes of plain text", maxDescription)
	}
	if len(t.Limitations) > maxLimitations {
		c.fail("limitations", "has %d entries; must have at most %d", len(t.Limitations), maxLimitations)
	}
	for i, l := range t.Limitations {
		if l == "" || len(l) > maxLimitation || strings.ContainsFunc(l, unicode.IsControl) {
			c.fail(fmt.Sprintf("limitations[%d]", i), "must be one line of plain text, 1 to %d bytes", maxLimitation)
		}
	}
	c.ports(t)
	c.credentials(t.Credentials)
	c.endpoint(t)
	c.connections(t)
	c.probe(t)
	c.stop(t.Stop)
	c.logs(t.Logs)
	c.rotate(t)
	if t.Process == nil && t.Docker == nil {
		c.fail("process", "is missing, and so is docker; at least one must say how to run the engine")
	}
	sample := t.sample()
	if r := t.Process; r != nil {
		c.program(*r)
		c.mustBeEmpty("process.image", r.Image, "docker")
		c.mustBeEmpty("process.data", r.Data, "docker")
		c.mustBeEmpty("process.user", r.User, "docker")
		c.mustBeEmpty("process.capabilities", strings.Join(r.Capabilities, " "), "docker")
		if r.Limits != (Limits{}) {
			c.fail("process.limits", "belongs to docker; remove it here")
		}
		c.runtime("process", *r, sample)
	}
	if r := t.Docker; r != nil {
		c.container(*r)
		c.runtime("docker", *r, sample)
	}
	return errors.Join(c.errs...)
}

// sample returns values for all placeholders that the template defines.
func (t Template) sample() Values {
	v := Values{
		Data: "/data", Config: "/config", Address: "127.0.0.1", Host: "localhost",
		Ports: make(map[string]int), Credentials: make(map[string]string),
		ServiceID: "id", ServiceName: "name",
	}
	for _, p := range t.Ports {
		v.Ports[p.Name] = 1
	}
	for _, c := range t.Credentials {
		v.Credentials[c.Name] = "x"
	}
	return v
}

// clientSample returns a sample without the values that clients may not see.
func (t Template) clientSample() Values {
	v := t.sample()
	for _, p := range t.Ports {
		if p.Internal {
			delete(v.Ports, p.Name)
		}
	}
	v.Credentials = t.public(v.Credentials)
	return v
}

func (c *checker) ports(t Template) {
	if len(t.Ports) == 0 || len(t.Ports) > maxPorts {
		c.fail("ports", "has %d entries; must have 1 to %d", len(t.Ports), maxPorts)
	}
	names, targets := make(map[string]bool), make(map[int]bool)
	for i, p := range t.Ports {
		at := fmt.Sprintf("ports[%d]", i)
		c.match(at+".name", p.Name, portNameRule)
		if names[p.Name] {
			c.fail(at+".name", "is %s, which is taken by an earlier port; names must differ", quote(p.Name))
		}
		switch {
		case p.Target < 0 || p.Target > 65535:
			c.fail(at+".target", "is %d; must be 1 to 65535", p.Target)
		case p.Target == 0 && t.Docker != nil:
			c.fail(at+".target", "is missing; docker needs the port in the container, 1 to 65535")
		case p.Target != 0 && targets[p.Target]:
			c.fail(at+".target", "is %d, which is taken by an earlier port; targets must differ", p.Target)
		}
		names[p.Name], targets[p.Target] = true, true
	}
	if len(t.Ports) > 0 && t.Ports[0].Internal {
		c.fail("ports[0].internal", "is true, but the first port is the service's endpoint; put another port first")
	}
}

func (c *checker) credentials(all []Credential) {
	names := make(map[string]bool)
	for i, cr := range all {
		at := fmt.Sprintf("credentials[%d]", i)
		c.match(at+".name", cr.Name, credentialRule)
		if names[cr.Name] {
			c.fail(at+".name", "is %s, which is taken by an earlier credential; names must differ", quote(cr.Name))
		}
		names[cr.Name] = true
		switch {
		case cr.Value != "" && cr.Length != 0:
			c.fail(at+".length", "stands beside value; keep length for a generated secret or value for a fixed one")
		case cr.Value != "":
			c.match(at+".value", cr.Value, fixedRule)
		case cr.Length < minSecret || cr.Length > maxSecret:
			c.fail(at+".length", "is %d; must be %d to %d, or value must be set", cr.Length, minSecret, maxSecret)
		}
	}
	for i, cr := range all {
		if cr.Fallback != "" && !slices.ContainsFunc(all, func(other Credential) bool { return other.Name == cr.Fallback && other.Fallback == "" }) {
			c.fail(fmt.Sprintf("credentials[%d].fallback", i), "is %s; must be the name of another credential, one without a fallback", quote(cr.Fallback))
		}
	}
}

func (c *checker) endpoint(t Template) {
	example := "a URL such as \"http://${host}:${port.NAME}\""
	if t.Endpoint == "" {
		c.fail("endpoint", "is missing; must be %s", example)
		return
	}
	out, err := t.EndpointFor(t.clientSample())
	if err != nil {
		c.fail("endpoint", "%s", strings.TrimPrefix(err.Error(), "endpoint: "))
		return
	}
	if u, err := url.Parse(out); err != nil || u.Scheme == "" || u.Host == "" {
		c.fail("endpoint", "is %s; must be %s", quote(t.Endpoint), example)
	}
}

func (c *checker) probe(t Template) {
	for _, err := range t.Probe.check() {
		var f *FieldError
		if errors.As(err, &f) {
			c.fail("probe."+f.Field, "%s", f.Message)
		}
	}
	var names []string
	for _, p := range t.Ports {
		names = append(names, p.Name)
	}
	if t.Probe.Port != "" && !slices.Contains(names, t.Probe.Port) {
		c.fail("probe.port", "is %s; must be one of the ports: %s", quote(t.Probe.Port), clean.Clip(strings.Join(names, ", "), maxQuoted))
	}
}

// Validate checks a probe whose zero values are filled in. Its error joins one [*FieldError] each, with the name of the
// field in Probe, such as "interval".
func (p Probe) Validate() error { return errors.Join(p.check()...) }

func (p Probe) check() []error {
	var c checker
	if p.Type == "" {
		c.fail("type", "is missing")
	}
	if p.Port == "" {
		c.fail("port", "is missing; must name the port that is asked")
	}
	return append(c.errs, p.checkRanges()...)
}

func (p Probe) checkRanges() []error {
	var c checker
	c.duration("interval", p.Interval, minInterval, maxInterval)
	c.duration("timeout", p.Timeout, minTimeout, maxTimeout)
	if p.Interval >= minInterval && p.Timeout > p.Interval && p.Timeout <= maxTimeout {
		c.fail("timeout", "is %s; must be at most the interval, %s", words(p.Timeout), words(p.Interval))
	}
	if p.FailureThreshold < 1 || p.FailureThreshold > maxThreshold {
		c.fail("failureThreshold", "is %d; must be 1 to %d", p.FailureThreshold, maxThreshold)
	}
	c.duration("grace", p.Grace, minGrace, maxGrace)
	if every, err := time.ParseDuration(p.Write); p.Write != "" && p.Write != NoWrite && (err != nil || every < minWrite || every > maxWrite) {
		c.fail("write", "is %s; must be none, or a duration from %s to %s", quote(p.Write), words(minWrite), words(maxWrite))
	}
	return c.errs
}

func (c *checker) stop(s Stop) {
	if !slices.Contains(stopSignals(), s.Signal) {
		c.fail("stop.signal", "is %s; must be one of %s", quote(s.Signal), strings.Join(stopSignals(), ", "))
	}
	c.duration("stop.grace", s.Grace, minStop, maxStop)
	c.duration("stop.hangGrace", s.HangGrace, minStop, maxStop)
}

func (c *checker) logs(l Logs) {
	if l.MaxMiB < 0 || l.MaxMiB > maxLogMiB {
		c.fail("logs.maxMiB", "is %d; must be 1 to %d", l.MaxMiB, maxLogMiB)
	}
}

func (c *checker) mustBeEmpty(field, value, belongs string) {
	if value != "" {
		c.fail(field, "belongs to %s; remove it here", belongs)
	}
}

// program checks what the process driver runs: an engine, or a program installed on the machine.
func (c *checker) program(r Runtime) {
	switch {
	case r.Program == "":
		c.match("process.engine", r.Engine, nameRule)
		c.mustBeEmpty("process.package", r.Package, "program")
	case r.Engine != "":
		c.fail("process.program", "stands beside engine; keep one of them")
	default:
		c.match("process.program", r.Program, fileRule)
		c.match("process.package", r.Package, fileRule)
	}
	if r.Init != nil && r.Init.Program != "" {
		c.match("process.init.program", r.Init.Program, fileRule)
	}
}

// container checks the fields that only the docker driver has.
func (c *checker) container(r Runtime) {
	c.match("docker.image", r.Image, imageRule)
	c.mustBeEmpty("docker.engine", r.Engine, "process")
	c.mustBeEmpty("docker.program", r.Program, "process")
	c.mustBeEmpty("docker.package", r.Package, "process")
	if len(r.Stale) > 0 {
		c.fail("docker.stale", "belongs to process, since each container has pids of its own; remove it here")
	}
	if r.Init != nil {
		c.fail("docker.init", "belongs to process, since images make their own data; remove it here")
	}
	if r.Data == "" || !path.IsAbs(r.Data) || path.Clean(r.Data) != r.Data || r.Data == "/" {
		c.fail("docker.data", "is %s; must be an absolute path in the container, such as \"/data\"", quote(r.Data))
	}
	if r.User != "" {
		c.match("docker.user", r.User, userRule)
	}
	for i, name := range r.Capabilities {
		field := fmt.Sprintf("docker.capabilities[%d]", i)
		switch known := capabilities(); {
		case !slices.Contains(known, name):
			c.fail(field, "is %s; must be a Linux capability in capitals and without CAP_, such as %s", quote(name), known[0])
		case slices.Index(r.Capabilities, name) != i:
			c.fail(field, "is %s, which is there already; remove one", quote(name))
		}
	}
	c.limits(r.Limits)
}

func (c *checker) limits(l Limits) {
	for _, err := range []error{
		outside("memoryMiB", &l.MemoryMiB, minMemoryMiB, maxMemoryMiB, "MiB"),
		outside("cpus", &l.CPUs, minCPUs, maxCPUs, "processors"),
		outside("pids", &l.PIDs, minPIDs, maxPIDs, "processes and threads"),
	} {
		if f, ok := errors.AsType[*FieldError](err); ok {
			c.fail("docker.limits."+f.Field, "%s", f.Message)
		}
	}
}

// capabilities returns the names of the Linux capabilities.
func capabilities() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
		NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT
		SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
		WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
}

func (c *checker) runtime(at string, r Runtime, sample Values) {
	c.command(at, r.Args, r.Env, sample)
	for i, arg := range r.Always {
		if strings.ContainsAny(strings.ReplaceAll(arg, "${config}", ""), "$\x00") {
			c.fail(fmt.Sprintf("%s.always[%d]", at, i), "is %s; must be an arg without placeholders other than ${config}", quote(arg))
		}
	}
	for i, name := range r.AlwaysFiles {
		if _, ok := r.Files[name]; !ok {
			c.fail(fmt.Sprintf("%s.alwaysFiles[%d]", at, i), "is %s; must be one of the names in files", quote(name))
		}
	}
	if r.Init != nil {
		c.command(at+".init", r.Init.Args, r.Init.Env, sample.inInit())
		for i, name := range r.Init.Files {
			if _, ok := r.Files[name]; !ok {
				c.fail(fmt.Sprintf("%s.init.files[%d]", at, i), "is %s; must be one of the names in files", quote(name))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		c.match(at+".files."+name, name, fileRule)
		c.text(at+".files."+name, r.Files[name], sample, inFiles)
	}
	for i, name := range r.Stale {
		if !insideData(name) {
			c.fail(fmt.Sprintf("%s.stale[%d]", at, i), "is %s; must be a relative path inside the data, such as \"postmaster.pid\"", quote(name))
		}
	}
	if r.Root != "" && !insideData(r.Root) {
		c.fail(at+".root", "is %s; must be a relative path inside the data, such as \"18/docker\"", quote(r.Root))
	}
	if r.Mark != "" && !insideData(r.Mark) {
		c.fail(at+".mark", "is %s; must be a relative path inside the data, such as \"PG_VERSION\"", quote(r.Mark))
	}
	for i, dir := range r.Dirs {
		field := fmt.Sprintf("%s.dirs[%d]", at, i)
		c.match(field, dir, fileRule)
		if slices.Index(r.Dirs, dir) != i {
			c.fail(field, "is %s, which is there already; names must differ", quote(dir))
		}
	}
}

// insideData reports whether name is a clean relative path inside the data.
func insideData(name string) bool {
	return filepath.IsLocal(name) && path.Clean(name) == name && name != "." && !strings.ContainsRune(name, 0)
}

func (c *checker) command(at string, args []string, env map[string]string, sample Values) {
	for i, arg := range args {
		c.text(fmt.Sprintf("%s.args[%d]", at, i), arg, sample, inArgs)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		c.match(at+".env."+name, name, envRule)
		c.text(at+".env."+name, env[name], sample, inEnv)
	}
}

// text checks a text that may contain placeholders.
func (c *checker) text(field, text string, sample Values, in scope) {
	if strings.ContainsRune(text, 0) {
		c.fail(field, "holds a NUL character; remove it")
	} else if _, err := sample.expand(text, in); err != nil {
		c.fail(field, "%s", err)
	}
}

func quote(s string) string { return clean.Clip(strconv.Quote(s), maxQuoted) }

// isControl reports whether r is a control character other than a line break or tab.
func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

// plain makes a message that quotes an untrusted file safe for terminals and logs.
func plain(s string) string {
	const limit = 500
	return clean.Clip(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s), limit)
}

// words formats a duration as in a template: "1h", "2s".
func words(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
