package lifecycle

import "encoding/json"

// Quarantine is what keeps a service that was made from a backup from acting on others: it would do what the original does.
type Quarantine struct {
	HeldBack string          `json:"heldBack"`        // for people
	Args     []string        `json:"args,omitempty"`  // follow those of the engine
	Aside    json.RawMessage `json:"aside,omitempty"` // what was left out of the data; of the method that loaded it
}
