// Package contract is what a client program and the tests say to each other: a list of asks on stdin, one JSON line
// per ask on stdout.
package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// Ask is one call to make. Status is the one that its error must have, 0 where none is expected.
type Ask struct {
	ID       int    `json:"id"`
	Call     string `json:"call"`
	URL      string `json:"url"`
	Key      string `json:"key"`
	Model    string `json:"model"`
	Prompt   string `json:"prompt"`
	Attempts int    `json:"attempts"`
	Status   int    `json:"status"`
}

// Used is the tokens in and out of one billed call, nil where the SDK does not tell them.
type Used []int64

// Call makes the call that it was asked for and gives the usage of each billed one.
type Call func(Ask) ([]Used, error)

// Refusal is what an SDK's error says.
type Refusal struct {
	Class  string
	Status int
	Code   string
	// What the error says of a budget, as the SDK keeps it; nil where there is none.
	Budget json.RawMessage
}

// Reads an error of the SDK; false where it is not of the class that users match on.
type Reader func(error) (Refusal, bool)

type line struct {
	ID     int             `json:"id"`
	OK     bool            `json:"ok"`
	Detail string          `json:"detail"`
	Usage  []Used          `json:"usage,omitempty"`
	Status *int            `json:"status,omitempty"`
	Code   *string         `json:"code"`
	Budget json.RawMessage `json:"budget,omitempty"`
	Ms     float64         `json:"ms"`
}

// One red pixel: the mock answers with its media type, size and hash.
const pictureBase64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

// PictureURL is the picture as a data URL.
const PictureURL = "data:image/png;base64," + pictureBase64

// ExpectSaid checks that the mock repeated the prompt: that it is all there shows that both ways are whole.
func ExpectSaid(ask Ask, text string) error {
	if strings.HasPrefix(text, "You said: "+ask.Prompt) {
		return nil
	}
	return fmt.Errorf("answered %q", text)
}

// ExpectPicture checks that the mock saw the picture.
func ExpectPicture(text string) error {
	picture, err := base64.StdEncoding.DecodeString(pictureBase64)
	if err != nil {
		return err
	}
	word := fmt.Sprintf("image/png:%d:%x", len(picture), sha256.Sum256(picture))
	if word = word[:strings.LastIndex(word, ":")+9]; strings.Contains(text, word) {
		return nil
	}
	return fmt.Errorf("no %q in %q", word, text)
}

// ExpectVectors checks for two unit vectors that differ.
func ExpectVectors[Float float32 | float64](vectors [][]Float) error {
	if len(vectors) != 2 || vectors[0][0] == vectors[1][0] {
		return errors.New("not two different vectors")
	}
	for _, vector := range vectors {
		squares := 0.0
		for _, value := range vector {
			squares += float64(value) * float64(value)
		}
		if len(vector) != 1536 || math.Abs(squares-1) > 1e-4 {
			return fmt.Errorf("%d values, squares %f", len(vector), squares)
		}
	}
	return nil
}

// Thought is what the mock thinks before it speaks.
const Thought = "Let me think about what was asked."

// ToolCall is one call of a tool as the SDK tells it.
type ToolCall struct{ ID, Name, Input string }

// ExpectCalls checks that both tools that were offered were called, each call with an id of its own.
func ExpectCalls(calls []ToolCall) error {
	if len(calls) != 2 || calls[0].Name != "weather" || calls[1].Name != "clock" || calls[0].ID == calls[1].ID {
		return fmt.Errorf("called %v", calls)
	}
	return errors.Join(ExpectJSON(calls[0].Input, `{"city":"mock"}`), ExpectJSON(calls[1].Input, `{"zone":"mock"}`))
}

// ExpectAnswered checks for an answer to anything.
func ExpectAnswered(text string) error {
	if strings.HasPrefix(text, "You said:") {
		return nil
	}
	return fmt.Errorf("answered %q", text)
}

// ExpectJSON checks a tool's arguments.
func ExpectJSON(text, wanted string) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(text)); err != nil {
		return err
	}
	if compact.String() != wanted {
		return fmt.Errorf("%s is not %s", text, wanted)
	}
	return nil
}

// Run makes every call that was asked for.
func Run(calls map[string]Call, chat Call, read Reader) {
	var asks []Ask
	if err := json.NewDecoder(os.Stdin).Decode(&asks); err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, ask := range asks {
		began := time.Now()
		said := answer(ask, calls, chat, read)
		said.Ms = float64(time.Since(began).Microseconds()) / 1_000
		_ = out.Encode(said)
	}
}

func answer(ask Ask, calls map[string]Call, chat Call, read Reader) line {
	if ask.Call == "fails" {
		return refused(ask, chat, read)
	}
	// "retry" makes the same call with the retries that the client has by itself.
	if ask.Call == "insists" {
		return refused(ask, calls["retry"], read)
	}
	said := line{ID: ask.ID, OK: true}
	usage, err := calls[ask.Call](ask)
	if said.Usage = usage; err != nil {
		said.OK, said.Detail = false, err.Error()
	}
	return said
}

func refused(ask Ask, chat Call, read Reader) line {
	for range ask.Attempts {
		_, err := chat(ask)
		if err == nil {
			continue
		}
		refusal, typed := read(err)
		said := line{ID: ask.ID, OK: typed, Detail: refusal.Class, Status: &refusal.Status, Budget: refusal.Budget}
		if refusal.Code != "" {
			said.Code = &refusal.Code
		}
		if !typed {
			said.Detail = fmt.Sprintf("%T: %v", err, err)
		}
		return said
	}
	return line{ID: ask.ID, Detail: "no error"}
}
