package probe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// maxIterations of a password's hash, which we do at a server's word. Servers ask for 4,096 to 15,000; this many take
// tens of milliseconds.
const maxIterations = 200_000

// errScram is what a server says that does not follow the login's protocol, or does not know our password itself.
var errScram = errors.New("its part of the login is not right")

// tooMuchWork is how often a server wants a password hashed, which is more than we do.
type tooMuchWork int

func (n tooMuchWork) Error() string { return fmt.Sprintf("%d rounds of hashing", int(n)) }

// scramLogin is our side of one login by SCRAM-SHA-256.
type scramLogin struct{ talk *scram.ClientConversation }

func newScramLogin(user, password string) (scramLogin, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return scramLogin{}, err
	}
	return scramLogin{client.NewConversation()}, nil
}

// step answers what the server said; at first that is nothing.
func (s scramLogin) step(said string) (string, error) {
	for part := range strings.SplitSeq(said, ",") {
		if text, ok := strings.CutPrefix(part, "i="); ok {
			if n, err := strconv.Atoi(text); err != nil {
				return "", errScram
			} else if n > maxIterations {
				return "", tooMuchWork(n)
			}
		}
	}
	answer, err := s.talk.Step(said)
	if err != nil {
		return "", errScram
	}
	return answer, nil
}

// proven reports whether the server has shown that it knows the password too.
func (s scramLogin) proven() bool { return s.talk.Valid() }
