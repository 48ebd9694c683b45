package catalog

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

func clientValues() Values {
	return Values{
		Host: "::1", Ports: map[string]int{"sql": 1234}, ServiceID: "s1", ServiceName: "orders",
		Credentials: map[string]string{"user": "me@x", "password": "p:/?#[]@!$&'()*+,;= %\u00fc"},
	}
}

// The value of a credential never changes the meaning of the rest of a connection string.
func TestConnections(t *testing.T) {
	const encoded = "p%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%20%25%C3%BC"
	refused := `connections[0].value: the value of "${credential.password}" holds a character that a shell`
	for _, tt := range []struct{ name, value, want, fault string }{
		{"userinfo", "x://${credential.user}:${credential.password}@${host}:${port.sql}/", "x://me%40x:" + encoded + "@[::1]:1234/", ""},
		{"query", "jdbc:x://${host}/?password=${credential.password}", "jdbc:x://[::1]/?password=" + encoded, ""},
		{"URL in a command", "cli 'x://${credential.user}@h' ${credential.user} $${HOME}", "cli 'x://me%40x@h' me@x ${HOME}", ""},
		{"after a URL", "A=x://h\nB=${credential.user}", "A=x://h\nB=me@x", ""},
		{"in a double-quoted URL", `"x://h/${credential.user}" "${credential.user}"`, `"x://h/me%40x" "me@x"`, ""},
		{"the service", "${service.name} ${service.id}", "orders s1", ""},
		{"not in a URL", "A='${credential.password}'", "", refused},
		{"after a URL, not in it", "x://h ${credential.password}", "", refused},
		{"unknown", "${credential.x}", "", `connections[0].value: "${credential.x}" does not exist here; there is ${credential.password}, ${credential.user}, ${hostname}, ${host}, ${port.sql}`},
		{"a folder", "${data}", "", `connections[0].value: "${data}" does not exist here`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole := Template{Connections: []ConnectionString{{"one", tt.value}, {"two", "2"}}}
			got, err := whole.ConnectionsFor(clientValues())
			want := []ConnectionString{{"one", tt.want}, {"two", "2"}}
			if tt.fault != "" {
				want = want[1:]
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || (err != nil) != (tt.fault != "") {
				t.Fatalf("got %q, %v; want %q", got, err, want)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), tt.fault) || strings.Contains(err.Error(), "%!") || strings.Contains(err.Error(), "p:/")) {
				t.Errorf("error is %v, want %s", err, tt.fault)
			}
		})
	}
}

func TestConnectionsTrustNoAddress(t *testing.T) {
	for host, ok := range map[string]bool{
		"127.0.0.1": true, "::1": true, "fe80::1%eth0": true, "db.example": true, "a_b": true,
		"x;id": false, "$(id)": false, "a b": false, "a'": false, "[::1]": true, "a[b]": false, "a@b": false, "a/b": false,
	} {
		v := clientValues()
		v.Host = host
		_, err := Template{Connections: []ConnectionString{{"one", "curl http://${host}/"}}}.ConnectionsFor(v)
		if (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestConnectionMistakes(t *testing.T) {
	change := func(old, replacement string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, replacement, 1) }
	}
	with := strings.Replace(good, "probe:\n", `connections:
  - name: url
    value: postgres://${credential.password}@${host}:${port.sql}
probe:
`, 1)
	if p, err := parse("f.yaml", []byte(with), anyProbe); err != nil || len(p.Connections) != 1 {
		t.Fatalf("the good one: %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(string) string
		want   string
	}{
		{"no name", change("name: url", "name: ''"), "f.yaml:13:11: connections[0].name: is missing; must be lower-case letters"},
		{"bad name", change("name: url", "name: The URL"), `f.yaml:13:11: connections[0].name: is "The URL"; must be lower-case`},
		{"twice", change("probe:", "  - {name: url, value: x}\nprobe:"), `f.yaml:15:12: connections[1].name: is "url", which is taken`},
		{"no value", change("    value: postgres://${credential.password}@${host}:${port.sql}\n", ""), "f.yaml:13:5: connections[0].value: is missing; must be a text such as"},
		{"unknown field", change("    value:", "    secret:"), "connections[0].secret: is unknown; the fields here are name, value"},
		{"unknown credential", change("credential.password}@", "credential.pass}@"), `f.yaml:14:12: connections[0].value: "${credential.pass}" does not exist here; there is ${credential.password}, ${hostname}, ${host}`},
		{"a folder", change("@${host}", "@${data}"), `connections[0].value: "${data}" does not exist here`},
		{"an internal port", change("    target: 5432", "    target: 5432\n  - name: inside\n    internal: true\n"), ""},
		{"single dollar", change("value: postgres", "value: $X postgres"), "connections[0].value: a single $: write $$"},
		{"no right URL", change("@${host}:${port.sql}", "@${host}:sql"), `connections[0].value: is "postgres://${credential.password}@${host}:sql", which is not a right URL`},
		{"no host", change("@${host}:${port.sql}", "@/x"), `connections[0].value: is "postgres://${credential.password}@/x", which is not a right URL`},
		{"line break at the end", change("value: postgres", "value: |\n      postgres"), "connections[0].value: begins or ends with white space; remove it (a block begun with |-"},
		{"control character", change("value: postgres", `value: "\e[31m" # postgres`), "connections[0].value: must be at most 4000 bytes of plain text"},
		{"too long", change("value: postgres", "value: "+strings.Repeat("x", maxConnectionBytes)+"://postgres"), "connections[0].value: must be at most 4000 bytes"},
		{"too many", change("probe:", many(maxConnections)+"probe:"), "connections: has 17 entries; must have at most 16"},
		{"no list", change("connections:\n  - name: url", "connections:\n    name: url"), "connections: is a group of fields; must be a list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("f.yaml", []byte(tt.change(with)), anyProbe)
			if tt.want == "" {
				tt.want = `connections[0].value: "${port.inside}" does not exist here`
				_, err = parse("f.yaml", []byte(strings.Replace(tt.change(with), "@${host}:${port.sql}", "@${host}:${port.inside}", 1)), anyProbe)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("error is\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  - {name: c%d, value: x}\n", i)
	}
	return b.String()
}

// Each embedded template has connection strings. Their URLs name the right host and port whatever the credentials
// contain.
func TestEmbeddedConnections(t *testing.T) {
	c, err := Load("", anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	for _, tpl := range c.All() {
		t.Run(tpl.Name, func(t *testing.T) {
			v := tpl.clientSample()
			v.Host = "::1"
			for _, cr := range tpl.Credentials {
				v.Credentials[cr.Name] = "a:b/c@d"
			}
			all, err := tpl.ConnectionsFor(v)
			if err != nil || len(all) == 0 {
				t.Fatalf("got %v, %v", all, err)
			}
			for _, cs := range all {
				if cs.Name != "url" {
					continue
				}
				u, err := url.Parse(cs.Value)
				if err != nil || u.Host != "[::1]:1" {
					t.Errorf("%s: %v", cs.Value, err)
					continue
				}
				if password, _ := u.User.Password(); password != "a:b/c@d" {
					t.Errorf("the password in %s is %q", cs.Value, password)
				}
			}
		})
	}
}

func TestConnectionsAreCopied(t *testing.T) {
	c, err := Load("", anyProbe)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := c.Lookup("nats")
	got.Connections[0].Value = "changed"
	if again, _ := c.Lookup("nats"); again.Connections[0].Value == "changed" {
		t.Error("a caller's change reached the catalog")
	}
}

// A standard client can log in with the connection string alone.
func TestConnectionWithEngine(t *testing.T) {
	in := newInstance(t, "nats")
	in.start()
	all, err := in.template.ConnectionsFor(in.values)
	must(t, err)
	i := slices.IndexFunc(all, func(c ConnectionString) bool { return c.Name == "url" })
	client, err := nats.Connect(all[i].Value)
	must(t, err)
	defer client.Close()
	if !client.IsConnected() {
		t.Error("is not connected")
	}
}
