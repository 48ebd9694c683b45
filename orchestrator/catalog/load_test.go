package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// anyProbe replaces the check of package probe. It accepts every probe of a known type.
var anyProbe = Probes{Check: knownType, Writes: func(probeType string) bool { return probeType != "tcp" }}

func knownType(probeType string, _ map[string]string, _ []string) error {
	switch probeType {
	case "http", "mongodb", "nats", "openbao", "postgres", "redis", "s3", "setec", "tcp":
		return nil
	}
	return fmt.Errorf("type is %q; must be one of http, mongodb, nats, openbao, postgres, redis, s3, setec, tcp", probeType)
}

const good = `name: mine
kind: DB
version: 18.10
default: true
ports:
  - name: sql
    target: 5432
credentials:
  - name: password
    length: 24
endpoint: postgres://${host}:${port.sql}
probe:
  type: tcp
  port: sql
process:
  engine: postgres
  args: ["-D", "${data}"]
  env:
    DEBUG: 1
    PGPASSWORD: ${credential.password}
`

func TestParseMistakes(t *testing.T) {
	change := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the good template", old)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	for _, tt := range []struct {
		name, yaml string
		want       []string // in this order, one for each mistake
	}{
		{"empty", "", []string{"f.yaml:1:1: is empty"}},
		{"only a comment", "# nothing\n", []string{"f.yaml:1:1: is empty"}},
		{"only null", "null", []string{"f.yaml:1:1: is empty"}},
		{"a list", "- a\n- b\n", []string{"f.yaml:1:1: is a list; must hold fields: connections, credentials, default, description"}},
		{"a word", "hello", []string{`f.yaml:1:1: is "hello"; must hold fields`}},
		{"syntax", "name: [a\nkind: DB\n", []string{"f.yaml:2:1: is not YAML: ',' or ']' must be specified"}},
		{"two documents", good + "---\nname: b\n", []string{"f.yaml:22:1: begins a second template"}},
		{"anchor", change("mine", "&a mine"), []string{`f.yaml:1:7: uses "&"; anchors and aliases are not supported`}},
		{"merge key", good + "<<: {name: x}\n", []string{`f.yaml:21:1: uses "<<"`}},
		{"tag", change("mine", "!!str mine"), []string{`f.yaml:1:7: uses "!!str"; tags`}},
		{"nested too deep", "name: " + strings.Repeat("[", maxNesting+1), []string{"f.yaml:1:27: is nested too deep"}},
		{"dashes too deep", strings.Repeat("- ", maxNesting+1), []string{"f.yaml:1:41: is nested too deep"}},
		{"too many tokens", strings.Repeat("- a\n", maxTokens), []string{"f.yaml:10001:1: is too long"}},
		{"not UTF-8", change("mine", "m\xffine"), []string{"f.yaml:1:8: holds a character that is not UTF-8"}},
		{"control character", change("mine", "m\x1bine"), []string{"f.yaml:1:8: holds a character"}},
		{"unknown field", change("kind: DB", "kind: DB\ncolour: red"), []string{"f.yaml:3:1: colour: is unknown; the fields here are connections, credentials, default,"}},
		{"program and engine", change("engine: postgres", "engine: postgres\n  program: psql"), []string{"process.program: stands beside engine; keep one of them"}},
		{"program without package", change("engine: postgres", "program: psql"), []string{"process.package: is missing"}},
		{"program with a folder", change("engine: postgres", "program: /bin/psql\n  package: psql"), []string{"process.program: is \"/bin/psql\"; must be one name without folders"}},
		{"package of an engine", change("engine: postgres", "engine: postgres\n  package: psql"), []string{"process.package: belongs to program; remove it here"}},
		{"init with a folder", change("engine: postgres", "engine: postgres\n  init: {program: ../initdb}"), []string{"process.init.program: is \"../initdb\""}},
		{"init shows a secret", change("engine: postgres", "engine: postgres\n  init: {args: [\"${credential.password}\"]}"), []string{"process.init.args[0]: \"${credential.password}\" puts a credential on the command line"}},
		{"init in docker", change("engine: postgres", "engine: postgres\ndocker:\n  image: a\n  data: /d\n  program: b\n  init: {}"), []string{"docker.program: belongs to process", "docker.init: belongs to process"}},
		{"unknown deep field", change("port: sql", "port: sql\n  intervall: 5s"), []string{"f.yaml:15:3: probe.intervall: is unknown; the fields here are failureThreshold, grace, interval"}},
		{"twice", change("kind: DB", "kind: DB\nname: other"), []string{"f.yaml:3:1: name: is here twice, first in line 1"}},
		{"env twice", change("DEBUG: 1", "DEBUG: 1\n    DEBUG: 2"), []string{"f.yaml:20:5: process.env.DEBUG: is here twice, first in line 19"}},
		{"wrong types", change("target: 5432", "target: many") + "docker: 5\n", []string{
			`f.yaml:7:13: ports[0].target: is "many"; must be a whole number`,
			`f.yaml:21:9: docker: is "5"; must hold fields:`,
		}},
		{"list for text", change("mine", "[a, b]"), []string{"f.yaml:1:7: name: is a list; must be a text"}},
		{"text for list", change(`["-D", "${data}"]`, "-D"), []string{`f.yaml:17:9: process.args: is "-D"; must be a list`}},
		{"default is no boolean", change("default: true", "default: yes"), []string{`f.yaml:4:10: default: is "yes"; must be true or false`}},
		{"number too large", change("5432", "99999999999999999999999"), []string{"f.yaml:7:13: ports[0].target"}},
		{"duration without unit", change("port: sql", "port: sql\n  interval: 30"), []string{`f.yaml:15:13: probe.interval: is "30"; must be a duration with its unit, such as 500ms`}},
		{"several", change("mine", "My_Name") + "stop:\n  signal: SIGSEGV\n  grace: 1h\n", []string{
			`f.yaml:1:7: name: is "My_Name"; must be lower-case letters`,
			`f.yaml:22:11: stop.signal: is "SIGSEGV"; must be one of SIGTERM, SIGINT`,
			"f.yaml:23:10: stop.grace: is 1h; must be 100ms to 10m",
		}},
		{"kind", change("kind: DB", "kind: db"), []string{`f.yaml:2:7: kind: is "db"; must be one of BUCKET, DB, NOSQL`}},
		{"version missing", change("version: 18.10\n", ""), []string{"f.yaml:1:1: version: is missing; must be a number and what follows it"}},
		{"version escapes", change("18.10", "1/../../x"), []string{"f.yaml:3:10: version: is"}},
		{"probe type", change("type: tcp", "type: telnet"), []string{`f.yaml:13:9: probe: type is "telnet"; must be one of http,`}},
		{"probe port", change("port: sql", "port: http"), []string{`f.yaml:14:9: probe.port: is "http"; must be one of the ports: sql`}},
		{"write too often", change("tcp\n  port: sql", "s3\n  port: sql\n  write: 1s"), []string{"f.yaml:15:10: probe.write: is \"1s\"; must be none, or a duration from 10s to 1h"}},
		{"write of a probe that cannot", change("port: sql", "port: sql\n  write: 5m"), []string{"f.yaml:15:10: probe.write: is \"5m\", but probes of type tcp cannot write; must be none, or left out"}},
		{"write is no duration", change("tcp\n  port: sql", "s3\n  port: sql\n  write: never"), []string{"f.yaml:15:10: probe.write: is \"never\"; must be none, or a duration from 10s to 1h"}},
		{"ranges", change("port: sql", "port: sql\n  interval: 1ms\n  timeout: 2m\n  failureThreshold: 101\n  grace: -1s"), []string{
			"f.yaml:15:13: probe.interval: is 1ms; must be 1s to 1h",
			"f.yaml:16:12: probe.timeout: is 2m; must be 100ms to 1m",
			"f.yaml:17:21: probe.failureThreshold: is 101; must be 1 to 100",
			"f.yaml:18:10: probe.grace: is -1s; must be 1s to 1h",
		}},
		{"timeout over interval", change("port: sql", "port: sql\n  interval: 5s\n  timeout: 6s"), []string{"f.yaml:16:12: probe.timeout: is 6s; must be at most the interval, 5s"}},
		{"no ports", change("  - name: sql\n    target: 5432\n", "  []\n"), []string{
			"f.yaml:6:3: ports: has 0 entries; must have 1 to 16",
			`f.yaml:10:11: endpoint: "${port.sql}" does not exist here; there is ${hostname}, ${host}, ${service.id}, ${service.name}`,
			"probe.port",
		}},
		{"port twice", change("    target: 5432", "    target: 5432\n  - name: sql\n    target: 5432"), []string{
			`f.yaml:8:11: ports[1].name: is "sql", which is taken`, "f.yaml:9:13: ports[1].target: is 5432, which is taken",
		}},
		{"internal first", change("    target: 5432", "    internal: true"), []string{"f.yaml:7:15: ports[0].internal", `endpoint: "${port.sql}" does not exist here`}},
		{"short secret", change("length: 24", "length: 8"), []string{"f.yaml:10:13: credentials[0].length: is 8; must be 16 to 128, or value"}},
		{"value and length", change("length: 24", "length: 24\n    value: x"), []string{"f.yaml:10:13: credentials[0].length: stands beside value"}},
		{"credential in args", change(`"-D"`, `"--pass=${credential.password}"`), []string{`f.yaml:17:10: process.args[0]: "${credential.password}" puts a credential on the command line`}},
		{"unknown placeholder", change(`${data}`, `${datta}`), []string{`f.yaml:17:16: process.args[1]: "${datta}" does not exist here; there is ${address}, ${config}, ${data}, ${hostname}, ${host}, ${port.sql}, ${service.id}`}},
		{"single dollar", change("${credential.password}", "$HOME"), []string{"f.yaml:20:17: process.env.PGPASSWORD: a single $: write $$ for a dollar sign"}},
		{"open placeholder", change("${credential.password}", "${credential"), []string{"process.env.PGPASSWORD: ${ without its }"}},
		{"secret in endpoint", change("//${host}", "//${credential.password}@${host}"), []string{`endpoint: "${credential.password}" does not exist here`}},
		{"endpoint is no URL", change("postgres://${host}:${port.sql}", "${host}"), []string{"f.yaml:11:11: endpoint: is \"${host}\"; must be a URL"}},
		{"no runtime", good[:strings.Index(good, "process:")], []string{"f.yaml:1:1: process: is missing, and so is docker"}},
		{"engine escapes", change("engine: postgres", "engine: ../sh"), []string{`f.yaml:16:11: process.engine: is "../sh"`}},
		{"docker fields", good + "docker:\n  image: postgres:18\n  data: data\n  engine: x\n", []string{
			"f.yaml:24:11: docker.engine: belongs to process", "f.yaml:23:9: docker.data: is \"data\"; must be an absolute path",
		}},
		{"docker fields in process", good + "  user: a\n  capabilities: [CHOWN]\n  limits: {pids: 9}\n", []string{
			"process.user: belongs to docker", "process.capabilities: belongs to docker", "process.limits: belongs to docker",
		}},
		{"user and capabilities", container("user: \"a b\"", "capabilities: [CAP_CHOWN, chown, KILL, KILL]"), []string{
			`docker.user: is "a b"; must be a user of the image`, `docker.capabilities[0]: is "CAP_CHOWN"; must be a Linux capability in capitals and without CAP_`,
			`docker.capabilities[1]: is "chown"`, `docker.capabilities[3]: is "KILL", which is there already`,
		}},
		{"limits", container("limits: {memoryMiB: 15, cpus: 0.04, pids: 7}"), []string{
			"docker.limits.memoryMiB: is 15; must be 16 to 1048576", "docker.limits.cpus: is 0.04; must be 0.05 to 1024", "docker.limits.pids: is 7; must be 8 to 1000000",
		}},
		{"limits of the wrong type", container("limits: {cpus: all}"), []string{`docker.limits.cpus: is "all"; must be a number, such as 2 or 0.5`}},
		{"limits that are no number", container("limits: {cpus: .nan}"), []string{`docker.limits.cpus: is ".nan"; must be a number`}},
		{"file with folder", good + "  files:\n    ../x: a\n  dirs: [a, a, /b]\n", []string{
			`f.yaml:22:11: process.files.../x: is "../x"; must be one name without folders`,
			`process.dirs[1]: is "a", which is there already`, `f.yaml:23:16: process.dirs[2]: is "/b"`,
		}},
		{"env name", change("DEBUG", "2=B"), []string{`process.env.2=B: is "2=B"; must be letters`}},
		{"hostile name in a message", change("DEBUG", `"A\e[31mB"`), []string{`process.env.A?[31mB: is "A\x1b[31mB"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("f.yaml", []byte(tt.yaml), anyProbe)
			if err == nil {
				t.Fatal("was accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("%d mistakes, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("mistake %d is\n%s\nwant\n%s", i, lines[i], want)
				}
			}
			var m *Mistake
			if !errors.As(err, &m) || m.Line < 1 || m.Column < 1 {
				t.Errorf("%#v is not a Mistake with a place", err)
			}
		})
	}
}

// container returns the good template with a docker section to which lines are added.
func container(lines ...string) string {
	return good + "docker:\n  image: postgres:18\n  data: /data\n  " + strings.Join(lines, "\n  ") + "\n"
}

func TestParseDocker(t *testing.T) {
	for limits, want := range map[string]Limits{
		"{}":                                {MemoryMiB: 512, CPUs: 1, PIDs: 512},
		"{memoryMiB: 64, cpus: 2, pids: 8}": {MemoryMiB: 64, CPUs: 2, PIDs: 8},
		"{cpus: 0.25}":                      {MemoryMiB: 512, CPUs: 0.25, PIDs: 512},
	} {
		p, err := parse("f.yaml", []byte(container("user: \"999:999\"", "capabilities: [CHOWN, SETUID]", "limits: "+limits)), anyProbe)
		if err != nil {
			t.Fatal(err)
		}
		if p.Docker.Limits != want || p.Docker.User != "999:999" || fmt.Sprint(p.Docker.Capabilities) != "[CHOWN SETUID]" {
			t.Errorf("%s: got %+v", limits, p.Docker)
		}
	}
}

func TestParseKeepsWhatIsWritten(t *testing.T) {
	p, err := parse("f.yaml", []byte(good), anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != "18.10" || p.Major() != "18" || p.Process.Env["DEBUG"] != "1" {
		t.Errorf("version %q, major %q, DEBUG %q", p.Version, p.Major(), p.Process.Env["DEBUG"])
	}
	if got := fmt.Sprint(p.Probe.Interval, p.Probe.Timeout, p.Probe.FailureThreshold, p.Probe.Grace, p.Stop); got != "30s 2s 6 5m0s {SIGTERM 30s 10s}" {
		t.Errorf("defaults are %s", got)
	}
}

func TestParseHostile(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	const n = 60_000
	for name, yaml := range map[string]string{
		"alias bomb":    bomb,
		"brackets":      "name: " + strings.Repeat("[", n),
		"braces":        "name: " + strings.Repeat("{a: ", n),
		"dashes":        strings.Repeat("- ", n),
		"question":      strings.Repeat("? ", n),
		"colons":        strings.Repeat("a: ", n),
		"indentation":   indented(600),
		"many keys":     strings.Repeat("k: v\n", n),
		"tabs":          strings.Repeat("\t", n),
		"open quote":    "name: \"" + strings.Repeat("x\n", n),
		"literal":       "name: |\n" + strings.Repeat("  x\n", n),
		"comments":      strings.Repeat("# x\n", n),
		"documents":     strings.Repeat("---\n", n),
		"blank lines":   strings.Repeat("\n", n),
		"one long word": strings.Repeat("x", n),
		"NUL":           "name: \x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse("f.yaml", []byte(yaml), anyProbe); err == nil {
				t.Error("was accepted")
			} else if len(err.Error()) > 100_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func indented(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// write creates a folder of templates from pairs of a name and a content.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadEmbedded(t *testing.T) {
	c, err := Load("", anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tpl := range c.All() {
		names = append(names, tpl.Name)
	}
	if strings.Join(names, " ") != "ferretdb mongodb nats openbao postgres redis setec versitygw" {
		t.Errorf("templates are %v", names)
	}
	for at, want := range map[place]string{
		{Bucket, Process}: "versitygw", {DB, Process}: "postgres", {NoSQL, Process}: "ferretdb", {Queue, Process}: "nats", {Secrets, Process}: "setec",
		{Bucket, Docker}: "versitygw", {DB, Docker}: "postgres", {NoSQL, Docker}: "mongodb", {Queue, Docker}: "nats", {Secrets, Docker}: "openbao",
	} {
		if d, ok := c.Default(at.kind, at.driver); !ok || d.Name != want {
			t.Errorf("the default of %s for %s is %q, %v", at.kind, at.driver, d.Name, ok)
		}
	}
	if d, _ := c.Default(NoSQL, "OTHER", Process, Docker); d.Name != "ferretdb" {
		t.Errorf("the first driver's default is %q", d.Name)
	}
	if d, ok := c.Default(NoSQL); ok {
		t.Errorf("%q is a default for no driver", d.Name)
	}
	got, _ := c.Lookup("versitygw")
	got.Process.Env["ROOT_ACCESS_KEY"], got.Ports[0].Name = "changed", "changed"
	again, _ := c.Lookup("versitygw")
	if again.Process.Env["ROOT_ACCESS_KEY"] == "changed" || again.Ports[0].Name == "changed" {
		t.Error("a caller's change reached the catalog")
	}
}

func TestLoadUserFolder(t *testing.T) {
	queue := strings.NewReplacer("kind: DB", "kind: QUEUE").Replace(good)
	c, err := Load(write(t, "a.yaml", queue, "b.yml", strings.Replace(good, "mine", "pg", 1),
		".hidden.yaml", "[", "notes.txt", "["), anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := c.Default(Queue, Process); d.Name != "mine" {
		t.Errorf("the default queue is %q", d.Name)
	}
	if n, ok := c.Lookup("nats"); !ok || fmt.Sprint(n.DefaultOn()) != "[DOCKER]" {
		t.Error("nats is gone, or not the default for docker alone")
	}
	if d, _ := c.Default(DB, Process, Docker); d.Name != "pg" {
		t.Errorf("the default database is %q", d.Name)
	}

	c, err = Load(write(t, "a.yaml", strings.Replace(queue, "mine", "nats", 1)), anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := c.Lookup("nats"); n.Process.Engine != "postgres" || len(c.All()) != 8 {
		t.Error("the user's template did not replace the embedded one")
	}
}

func TestLoadUserFolderMistakes(t *testing.T) {
	plainOne := strings.Replace(good, "default: true\n", "", 1)
	fifo := write(t)
	if err := syscall.Mkfifo(filepath.Join(fifo, "a.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := write(t)
	if err := os.Symlink("a.yaml", filepath.Join(loop, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	folder := write(t)
	if err := os.Mkdir(filepath.Join(folder, "a.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	device := write(t)
	if err := os.Symlink("/dev/zero", filepath.Join(device, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	const private = "PRIVATE-LINE-OF-ROOT"
	outside, link, above := filepath.Join(write(t, "x", private), "x"), write(t), write(t)
	if err := errors.Join(os.Symlink(outside, filepath.Join(link, "a.yaml")), os.Symlink(filepath.Dir(outside), filepath.Join(above, "d")), os.Symlink("d/x", filepath.Join(above, "a.yaml"))); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, dir string
		want      []string
	}{
		{"link out of the folder", link, []string{"a.yaml", "path escapes"}},
		{"link by a folder", above, []string{"a.yaml", "path escapes"}},
		{"missing folder", "/nonexistent/templates", []string{"open the folder of templates", "no such file"}},
		{"folder is a pipe", filepath.Join(fifo, "a.yaml"), []string{"is not a folder"}},
		{"pipe", fifo, []string{"a.yaml is not a regular file"}},
		{"link loop", loop, []string{"a.yaml", "too many levels of symbolic links"}},
		{"folder as file", folder, []string{"a.yaml is not a regular file"}},
		{"device", device, []string{"a.yaml", "path escapes"}},
		{"huge", write(t, "a.yaml", strings.Repeat("#", maxFileBytes+1)), []string{"a.yaml is larger than 1024 KiB"}},
		{"two bad files", write(t, "a.yaml", "[", "b.yaml", ""), []string{"a.yaml:1:1:", "b.yaml:1:1: is empty"}},
		{"same name", write(t, "a.yaml", good, "b.yaml", good), []string{`b.yaml:1:7: name: is "mine", which`, "a.yaml has too"}},
		{"two defaults", write(t, "a.yaml", good, "b.yaml", strings.Replace(good, "mine", "b", 1)), []string{"b.yaml:4:10: default: is true, and", "a.yaml is a default of DB for PROCESS too"}},
		{"no default", write(t, "a.yaml", strings.Replace(plainOne, "mine", "postgres", 1)), []string{"a.yaml:1:1: default: is not set, and no other template is the default of DB for PROCESS"}},
		{"replaced the default", write(t, "a.yaml", strings.NewReplacer("mine", "nats", "DB", "QUEUE").Replace(plainOne)), []string{"default: is not set", "QUEUE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.dir, anyProbe)
			if err == nil {
				t.Fatal("was accepted")
			}
			if strings.Contains(err.Error(), private) {
				t.Errorf("it quotes a file that is not of the folder: %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error is\n%v\nwant\n%s", err, want)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	entries, err := embedded.ReadDir("templates")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		data, err := embedded.ReadFile("templates/" + e.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", "[", "{", "? a\n: b", "- - -", "a: |\n", "a: >-\n  b", "'", `"\x"`, "a: b: c", "%YAML 1.2\n---\n", "name: *a", "a:\n\t- b", "---\n---\n", ":", "? ", "a: [}", "!!binary x", "{a: b,}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse("f.yaml", data, anyProbe)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return isControl(r) }) {
				t.Errorf("the error holds control characters: %q", err)
			}
			return
		}
		if err := p.Check(); err != nil {
			t.Errorf("accepted what is not valid: %v", err)
		}
		if _, err := json.Marshal(p.Template); err != nil {
			t.Error(err)
		}
		values := p.sample()
		if values.Credentials, err = p.GenerateCredentials(); err != nil {
			t.Error(err)
		}
		for _, r := range []*Runtime{p.Process, p.Docker} {
			if r != nil {
				if _, err := r.Resolve(values); err != nil {
					t.Errorf("accepted what cannot be resolved: %v", err)
				}
			}
		}
		if _, err := p.EndpointFor(values); err != nil {
			t.Errorf("accepted an endpoint that cannot be resolved: %v", err)
		}
	})
}
