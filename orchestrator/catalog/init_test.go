package catalog

import (
	"reflect"
	"testing"
)

// The data is created in another folder, which is the working folder of the init command.
func TestResolveInit(t *testing.T) {
	r := Runtime{
		Engine: "postgres", Args: []string{"-D", "${data}"},
		Init: &Init{Program: "initdb", Args: []string{"-D", "${data}/pg", "--pwfile", "${config}/pw"}, Env: map[string]string{"PW": "${credential.password}", "D": "${data}"}},
	}
	v := Values{Data: "/volumes/a", Config: "/config", Credentials: map[string]string{"password": "s3cret"}}
	got, err := r.Resolve(v)
	if err != nil {
		t.Fatal(err)
	}
	want := &Init{Program: "initdb", Args: []string{"-D", "./pg", "--pwfile", "/config/pw"}, Env: map[string]string{"PW": "s3cret", "D": "."}}
	if !reflect.DeepEqual(got.Init, want) || got.Args[1] != "/volumes/a" {
		t.Errorf("resolved to %v and %+v", got.Args, got.Init)
	}
	if r.Init.Args[1] != "${data}/pg" || r.Init.Env["D"] != "${data}" {
		t.Errorf("the template itself was changed: %+v", r.Init)
	}
	r.Init.Args = []string{"${nothing}"}
	if _, err := r.Resolve(v); err == nil || err.Error()[:13] != "init.args[0]:" {
		t.Errorf("an unknown placeholder: %v", err)
	}
}
