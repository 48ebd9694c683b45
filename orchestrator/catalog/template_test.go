package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// full returns a template with every field set.
func full() Template {
	return Template{
		Name: "pg", Kind: DB, Version: "18.4", Description: "d", Limitations: []string{"l"}, Default: true,
		Ports:       []Port{{Name: "sql", Target: 5432}, {Name: "admin", Target: 8080, Internal: true}},
		Credentials: []Credential{{Name: "user", Value: "uws"}, {Name: "password", Length: 32}, {Name: "adminPassword", Length: 32, Internal: true, Fallback: "password"}},
		Endpoint:    "postgres://${credential.user}@${host}:${port.sql}/${service.name}",
		Connections: []ConnectionString{{Name: "url", Value: "postgres://${credential.user}:${credential.password}@${host}:${port.sql}/"}},
		Probe: Probe{
			Type: "postgres", Port: "admin", Options: map[string]string{"path": "/"},
			Interval: 30 * time.Second, Timeout: 2 * time.Second, FailureThreshold: 6, Grace: 5 * time.Minute, Write: "10m",
		},
		Stop:   Stop{Signal: "SIGINT", Grace: 30 * time.Second, HangGrace: 10 * time.Second},
		Logs:   Logs{MaxMiB: 20},
		Rotate: &Rotate{How: "postgres", Change: []string{"password"}},
		Process: &Runtime{
			Engine: "postgres", Args: []string{"-D", "${data}/pg", "$$1"}, Always: []string{"-x"}, Env: map[string]string{"PW": "${credential.password}"},
			Files: map[string]string{"a.conf": "port = ${port.sql}\nlisten = ${address}\nme = ${service.id} ${config}"}, Dirs: []string{"pg"}, Stale: []string{"pg/postmaster.pid"},
		},
		Docker: &Runtime{
			Default: true, Image: "postgres:18", Data: "/var/lib/postgresql", User: "postgres", Capabilities: []string{"CHOWN"},
			Limits: Limits{MemoryMiB: 256, CPUs: 0.5, PIDs: 100},
		},
	}
}

// The stored form of a template. Change it only so that stored templates can still be read.
const fullJSON = `{"name":"pg","kind":"DB","version":"18.4","description":"d","limitations":["l"],"default":true,` +
	`"ports":[{"name":"sql","target":5432},{"name":"admin","target":8080,"internal":true}],` +
	`"credentials":[{"name":"user","value":"uws"},{"name":"password","length":32},{"name":"adminPassword","length":32,"internal":true,"fallback":"password"}],` +
	`"endpoint":"postgres://${credential.user}@${host}:${port.sql}/${service.name}",` +
	`"connections":[{"name":"url","value":"postgres://${credential.user}:${credential.password}@${host}:${port.sql}/"}],` +
	`"probe":{"type":"postgres","port":"admin","options":{"path":"/"},"interval":30000000000,"timeout":2000000000,"failureThreshold":6,"grace":300000000000,"write":"10m"},` +
	`"stop":{"signal":"SIGINT","grace":30000000000,"hangGrace":10000000000},"logs":{"maxMiB":20},"rotate":{"how":"postgres","change":["password"]},` +
	`"process":{"engine":"postgres","args":["-D","${data}/pg","$$1"],"always":["-x"],"env":{"PW":"${credential.password}"},` +
	`"files":{"a.conf":"port = ${port.sql}\nlisten = ${address}\nme = ${service.id} ${config}"},"dirs":["pg"],"stale":["pg/postmaster.pid"]},` +
	`"docker":{"default":true,"image":"postgres:18","data":"/var/lib/postgresql","user":"postgres","capabilities":["CHOWN"],` +
	`"limits":{"memoryMiB":256,"cpus":0.5,"pids":100}}}`

func TestStoredForm(t *testing.T) {
	if err := full().Check(); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != fullJSON {
		t.Errorf("the stored form changed:\n%s\nwas\n%s", got, fullJSON)
	}
	var back Template
	if err := json.Unmarshal([]byte(fullJSON), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, full()) {
		t.Errorf("read back as %+v", back)
	}
	assertNoZero(t, reflect.ValueOf(full()), "Template")
}

// assertNoZero fails for zero fields, so that a new field cannot be missing in the test of the stored form.
func assertNoZero(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	for i := range v.NumField() {
		f, name := v.Field(i), path+"."+v.Type().Field(i).Name
		switch {
		case f.Kind() == reflect.Struct:
			assertNoZero(t, f, name)
		case f.IsZero():
			t.Errorf("%s is not set in full()", name)
		}
	}
}

func TestResolve(t *testing.T) {
	v := Values{
		Data: "/d", Config: "/c", Address: "127.0.0.1", Host: "::1", Ports: map[string]int{"sql": 1234, "admin": 1},
		Credentials: map[string]string{"user": "uws", "password": "pa${data}$$ss"}, ServiceID: "s1", ServiceName: "orders",
	}
	r, err := full().Process.Resolve(v)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Args); got != "[-D /d/pg $1]" {
		t.Errorf("args are %s", got)
	}
	if got := r.Env["PW"]; got != "pa${data}$$ss" {
		t.Errorf("a value was expanded again: %s", got)
	}
	if got := r.Files["a.conf"]; got != "port = 1234\nlisten = 127.0.0.1\nme = s1 /c" {
		t.Errorf("file is %q", got)
	}
	if full().Process.Args[1] != "${data}/pg" || r.Engine != "postgres" || r.Dirs[0] != "pg" {
		t.Error("the rest of the runtime changed")
	}
	if got, err := full().EndpointFor(v); err != nil || got != "postgres://uws@[::1]:1234/orders" {
		t.Errorf("endpoint is %s, %v", got, err)
	}
}

func TestResolveRefuses(t *testing.T) {
	secret := "hunter2hunter2hunter2"
	v := Values{Data: "/d", Ports: map[string]int{}, Credentials: map[string]string{"password": secret}}
	for _, tt := range []struct {
		name string
		r    Runtime
		v    func(*Values)
		want string
	}{
		{"unknown port", Runtime{Args: []string{"${port.x}"}}, nil, `args[0]: "${port.x}" does not exist here; there is ${address}, ${config}, ${data}`},
		{"credential in args", Runtime{Args: []string{"a", "${credential.password}"}}, nil, `args[1]: "${credential.password}" puts a credential`},
		{"unknown credential", Runtime{Env: map[string]string{"A": "${credential.x}"}}, nil, "env.A: \"${credential.x}\" does not exist here"},
		{"quote in a path", Runtime{Files: map[string]string{"f": `"${data}"`}}, func(v *Values) { v.Data = `/a"b` }, "files.f: the value of \"${data}\" holds a quote"},
		{"line break", Runtime{Files: map[string]string{"f": "${credential.password}"}}, func(v *Values) { v.Credentials = map[string]string{"password": secret + "\nx"} }, "files.f: the value of \"${credential.password}\" holds"},
		{"NUL", Runtime{Env: map[string]string{"A": "${data}"}}, func(v *Values) { v.Data = "a\x00" }, "env.A: the value of \"${data}\" holds a NUL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := v
			if tt.v != nil {
				tt.v(&v)
			}
			_, err := tt.r.Resolve(v)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error is %v, want %s", err, tt.want)
			} else if strings.Contains(err.Error(), secret) {
				t.Error("the error holds the secret")
			}
		})
	}
}

func TestGenerateCredentials(t *testing.T) {
	tpl := Template{Credentials: []Credential{{Name: "user", Value: "uws"}, {Name: "a", Length: 16}, {Name: "b", Length: 128}}}
	seen, count := make(map[string]bool), make(map[rune]int)
	const rounds = 500
	for range rounds {
		made, err := tpl.GenerateCredentials()
		if err != nil {
			t.Fatal(err)
		}
		if made["user"] != "uws" || len(made["a"]) != 16 || len(made["b"]) != 128 || len(made) != 3 {
			t.Fatalf("made %v", made)
		}
		if seen[made["a"]] || seen[made["b"]] {
			t.Fatal("the same twice")
		}
		seen[made["a"]], seen[made["b"]] = true, true
		if !strings.ContainsRune(letters, rune(made["a"][0])) {
			t.Fatalf("%s does not begin with a letter", made["a"])
		}
		for _, r := range made["b"][1:] {
			count[r]++
		}
	}
	// 63,500 draws over 62 characters: 1,024 each. ±20 % is more than six standard deviations.
	for _, r := range lettersOrDigits {
		if count[r] < 820 || count[r] > 1230 {
			t.Errorf("%c came %d times", r, count[r])
		}
	}
	if len(count) != len(lettersOrDigits) {
		t.Errorf("%d different characters", len(count))
	}
}

func TestMajor(t *testing.T) {
	for version, want := range map[string]string{"18.4": "18", "v2.15.2": "2", "7": "7", "2026-01": "2026", "16beta1": "16", "0.9": "0"} {
		if got := (Template{Version: version}).Major(); got != want {
			t.Errorf("%s has major %s, want %s", version, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		want string
	}{
		{Bucket, "30s 2s 3 1m0s SIGTERM 10s 2s"},
		{Queue, "30s 2s 3 1m0s SIGTERM 10s 2s"},
		{Secrets, "30s 2s 6 1m0s SIGTERM 10s 2s"},
		{DB, "30s 2s 6 5m0s SIGTERM 30s 10s"},
		{NoSQL, "30s 2s 6 5m0s SIGTERM 30s 10s"},
	} {
		d := Template{Kind: tt.kind}.WithDefaults()
		got := fmt.Sprint(d.Probe.Interval, d.Probe.Timeout, d.Probe.FailureThreshold, d.Probe.Grace, " ", d.Stop.Signal, " ", d.Stop.Grace, d.Stop.HangGrace)
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.kind, got, tt.want)
		}
	}
	kept := full()
	if !reflect.DeepEqual(kept.WithDefaults(), kept) {
		t.Error("values that were set changed")
	}
	if d := (Template{Probe: Probe{Interval: time.Second}}).WithDefaults(); d.Probe.Timeout != time.Second {
		t.Errorf("timeout is %s at an interval of 1s", d.Probe.Timeout)
	}
}

func TestWithProbe(t *testing.T) {
	got, err := full().WithProbe(ProbeSettings{Interval: new(time.Second), FailureThreshold: new(1)})
	if err != nil {
		t.Fatal(err)
	}
	p := got.Probe
	if p.Interval != time.Second || p.Timeout != time.Second || p.FailureThreshold != 1 || p.Grace != 5*time.Minute {
		t.Errorf("probe is %+v", p)
	}
	for _, tt := range []struct {
		s             ProbeSettings
		field, prefix string
	}{
		{ProbeSettings{Interval: new(time.Duration(0))}, "interval", "is 0s; must be 1s to 1h"},
		{ProbeSettings{Timeout: new(time.Minute)}, "timeout", "is 1m; must be at most the interval, 30s"},
		{ProbeSettings{Timeout: new(time.Hour)}, "timeout", "is 1h; must be 100ms to 1m"},
		{ProbeSettings{FailureThreshold: new(0)}, "failureThreshold", "is 0; must be 1 to 100"},
		{ProbeSettings{Grace: new(25 * time.Hour)}, "grace", "is 25h; must be 1s to 1h"},
	} {
		_, err := full().WithProbe(tt.s)
		var f *FieldError
		if !errors.As(err, &f) || f.Field != tt.field || f.Message != tt.prefix {
			t.Errorf("error is %v, want %s: %s", err, tt.field, tt.prefix)
		}
	}
	if err := (Probe{}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("an empty probe gives %v", err)
	}
}
