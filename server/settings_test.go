package server_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

type setting struct{ Default, Min, Max float64 }

// A launch accepts exactly the ranges that the template's settings give: both ends, and nothing beyond.
func TestTemplateSettings(t *testing.T) {
	_, opts, _ := controlPlane(t)
	url := serve(t, opts)
	const numbers = `{ default min max }`
	got := post(t, url, `{ templates { name kind drivers settings {
		limits { memoryMiB `+numbers+` cpus `+numbers+` pids `+numbers+` }
		healthCheck { interval `+numbers+` timeout `+numbers+` failureThreshold `+numbers+` grace `+numbers+` }
		portNumbers { first last } } } }`, nil)
	var data struct {
		Templates []struct {
			Name, Kind string
			Drivers    []string
			Settings   struct {
				Limits      *struct{ MemoryMiB, CPUs, PIDs setting }
				HealthCheck struct{ Interval, Timeout, FailureThreshold, Grace setting }
				PortNumbers struct{ First, Last int }
			}
		}
	}
	if err := json.Unmarshal(got.Data, &data); err != nil || len(data.Templates) == 0 {
		t.Fatalf("got %s %+v", got.Data, got.Errors)
	}
	seen, launches := map[string]bool{}, 0
	for _, template := range data.Templates {
		s, docker := template.Settings, false
		for _, driver := range template.Drivers {
			docker = docker || driver == "DOCKER"
		}
		if (s.Limits != nil) != docker || s.PortNumbers.First != 20000 || s.PortNumbers.Last != 29999 {
			t.Errorf("%s on %v: %+v", template.Name, template.Drivers, s)
		}
		if s.Limits == nil || seen[template.Kind] {
			continue
		}
		seen[template.Kind] = true
		for input, set := range map[string]setting{
			"limits: {memoryMiB: %v}": s.Limits.MemoryMiB, "limits: {cpus: %v}": s.Limits.CPUs, "limits: {pids: %v}": s.Limits.PIDs,
			"healthCheck: {intervalSeconds: %v}":                       s.HealthCheck.Interval,
			"healthCheck: {intervalSeconds: 3600, timeoutSeconds: %v}": s.HealthCheck.Timeout,
			"healthCheck: {failureThreshold: %v}":                      s.HealthCheck.FailureThreshold,
			"healthCheck: {graceSeconds: %v}":                          s.HealthCheck.Grace,
		} {
			if set.Default < set.Min || set.Default > set.Max {
				t.Errorf("%s, %s: the default is outside: %+v", template.Name, input, set)
			}
			for value, want := range map[string]string{
				number(set.Min): "OK", number(set.Max): "OK", number(set.Default): "OK", number(set.Max + 1): "INVALID_INPUT", number(below(set.Min)): "INVALID_INPUT",
			} {
				launches++
				name := fmt.Sprintf("s%d", launches)
				got := post(t, url, fmt.Sprintf(`mutation { launchService(input: {kind: %s, name: "%s", template: "%s", %s}) { id } }`, template.Kind, name, template.Name, fmt.Sprintf(input, value)), nil)
				if code := got.code(); code != want {
					t.Errorf("%s with %s: got %s, want %s: %+v", template.Name, fmt.Sprintf(input, value), code, want, got.Errors)
				}
			}
		}
	}
}

// below returns a number below the minimum, an integer if the minimum is one.
func below(least float64) float64 {
	if least >= 1 {
		return least - 1
	}
	return least / 2
}

func number(v float64) string { return fmt.Sprintf("%v", json.Number(fmt.Sprintf("%.10g", v))) }
