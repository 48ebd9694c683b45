package probe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// maxIterations is the maximum number of iterations of a password hash that a server may request. Servers request 4,096
// to 15,000. This many take tens of milliseconds.
const maxIterations = 200_000

// errScram means that the server violates the protocol of the login, or does not prove that it has the password.
var errScram = errors.New("its part of the login is wrong")

// tooMuchWork is a number of iterations above maxIterations.
type tooMuchWork int

func (n tooMuchWork) Error() string { return fmt.Sprintf("%d rounds of hashing", int(n)) }

// scramLogin is the client's side of one SCRAM-SHA-256 login.
type scramLogin struct{ talk *scram.ClientConversation }

func newScramLogin(user, password string) (scramLogin, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return scramLogin{}, err
	}
	return scramLogin{client.NewConversation()}, nil
}

// step returns the answer to a message of the server; the first message is empty.
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

// proven reports whether the server has proved that it has the password too.
func (s scramLogin) proven() bool { return s.talk.Valid() }
