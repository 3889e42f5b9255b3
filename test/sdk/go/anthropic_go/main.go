// The official client, github.com/anthropics/anthropic-sdk-go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"sluice.test/sdk/contract"
)

var ctx = context.Background()

type stone struct {
	Name    string   `json:"name"`
	Weight  int      `json:"weight"`
	Colours []string `json:"colours"`
}

var stoneSchema = map[string]any{
	"type": "object",
	"properties": map[string]any{
		"name":    map[string]any{"type": "string"},
		"weight":  map[string]any{"type": "integer"},
		"colours": map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
	},
	"required":             []string{"name", "weight", "colours"},
	"additionalProperties": false,
}

var weather = anthropic.ToolUnionParam{OfTool: &anthropic.ToolParam{
	Name: "weather",
	InputSchema: anthropic.ToolInputSchemaParam{
		Properties: map[string]any{"city": map[string]any{"type": "string"}},
		Required:   []string{"city"},
	},
}}

var clock = anthropic.ToolUnionParam{OfTool: &anthropic.ToolParam{
	Name: "clock",
	InputSchema: anthropic.ToolInputSchemaParam{
		Properties: map[string]any{"zone": map[string]any{"type": "string"}},
		Required:   []string{"zone"},
	},
}}

func once(ask contract.Ask) anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(ask.URL), option.WithAPIKey(ask.Key), option.WithMaxRetries(0))
}

func asked(ask contract.Ask) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:     anthropic.Model(ask.Model),
		MaxTokens: 40,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(ask.Prompt))},
	}
}

func used(usage anthropic.Usage) contract.Used {
	return contract.Used{usage.InputTokens, usage.OutputTokens}
}

// textOf is what an answer says, its thoughts aside.
func textOf(answer *anthropic.Message) string {
	text := ""
	for _, block := range answer.Content {
		if block.Type == "text" {
			text += block.Text
		}
	}
	return text
}

// answered checks that an answer repeats the prompt.
func answered(ask contract.Ask, answer *anthropic.Message, err error) ([]contract.Used, error) {
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(answer.Usage)}, contract.ExpectSaid(ask, textOf(answer))
}

func chat(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	answer, err := client.Messages.New(ctx, asked(ask))
	return answered(ask, answer, err)
}

func retry(ask contract.Ask) ([]contract.Used, error) {
	client := anthropic.NewClient(option.WithBaseURL(ask.URL), option.WithAPIKey(ask.Key))
	answer, err := client.Messages.New(ctx, asked(ask))
	return answered(ask, answer, err)
}

// streamed is a stream as the SDK puts it together.
func streamed(client anthropic.Client, params anthropic.MessageNewParams) (*anthropic.Message, error) {
	events := client.Messages.NewStreaming(ctx, params)
	whole := anthropic.Message{}
	for events.Next() {
		if err := whole.Accumulate(events.Current()); err != nil {
			return nil, err
		}
	}
	return &whole, events.Err()
}

func stream(ask contract.Ask) ([]contract.Used, error) {
	whole, err := streamed(once(ask), asked(ask))
	return answered(ask, whole, err)
}

func callsOf(answer *anthropic.Message) []contract.ToolCall {
	calls := []contract.ToolCall{}
	for _, block := range answer.Content {
		if block.Type == "tool_use" {
			calls = append(calls, contract.ToolCall{ID: block.ID, Name: block.Name, Input: string(block.Input)})
		}
	}
	return calls
}

// behind is what was said and what came of its calls, as the next request's last messages.
func behind(answer *anthropic.Message) []anthropic.MessageParam {
	results := []anthropic.ContentBlockParamUnion{}
	for _, call := range callsOf(answer) {
		results = append(results, anthropic.NewToolResultBlock(call.ID, "Rain.", false))
	}
	return []anthropic.MessageParam{answer.ToParam(), anthropic.NewUserMessage(results...)}
}

func parallel(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.Tools = []anthropic.ToolUnionParam{weather, clock}
	first, err := streamed(client, params)
	if err != nil {
		return nil, err
	}
	if err := contract.ExpectCalls(callsOf(first)); err != nil {
		return nil, err
	}
	params.Messages = append(params.Messages, behind(first)...)
	second, err := client.Messages.New(ctx, params)
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(first.Usage), used(second.Usage)}, contract.ExpectAnswered(textOf(second))
}

// thoughtOf is what was thought before an answer.
func thoughtOf(answer *anthropic.Message) string {
	if len(answer.Content) == 0 {
		return ""
	}
	return answer.Content[0].Thinking
}

func reasoning(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.MaxTokens = 2048
	params.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
	params.Tools = []anthropic.ToolUnionParam{weather}
	first, err := client.Messages.New(ctx, params)
	if err != nil {
		return nil, err
	}
	if thoughtOf(first) != contract.Thought {
		return nil, errors.New(first.RawJSON())
	}
	params.Messages = append(params.Messages, behind(first)...)
	second, err := streamed(client, params)
	if err != nil {
		return nil, err
	}
	if thoughtOf(second) != contract.Thought {
		return nil, errors.New(second.RawJSON())
	}
	return []contract.Used{used(first.Usage), used(second.Usage)}, contract.ExpectSaid(ask, textOf(second))
}

func tools(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.Tools = []anthropic.ToolUnionParam{weather}
	first, err := client.Messages.New(ctx, params)
	if err != nil {
		return nil, err
	}
	// A thought may stand before it.
	call := first.Content[len(first.Content)-1].AsToolUse()
	if err := contract.ExpectJSON(string(call.Input), `{"city":"mock"}`); err != nil {
		return nil, err
	}
	result := anthropic.NewUserMessage(anthropic.NewToolResultBlock(call.ID, "Rain.", false))
	params.Messages = append(params.Messages, first.ToParam(), result)
	second, err := client.Messages.New(ctx, params)
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(first.Usage), used(second.Usage)}, nil
}

func structured(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.MaxTokens = 1024
	params.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: stoneSchema}
	answer, err := client.Messages.New(ctx, params)
	if err != nil {
		return nil, err
	}
	var made stone
	if err := json.Unmarshal([]byte(textOf(answer)), &made); err != nil {
		return nil, err
	}
	if made.Name == "" || made.Weight == 0 || len(made.Colours) == 0 {
		return nil, errors.New(textOf(answer))
	}
	return []contract.Used{used(answer.Usage)}, nil
}

func vision(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	_, picture, _ := strings.Cut(contract.PictureURL, ",")
	params.Messages = []anthropic.MessageParam{anthropic.NewUserMessage(
		anthropic.NewImageBlockBase64("image/png", picture),
		anthropic.NewTextBlock("Describe."),
	)}
	answer, err := client.Messages.New(ctx, params)
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(answer.Usage)}, contract.ExpectPicture(textOf(answer))
}

func count(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	counted, err := client.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{
		Model:    anthropic.Model(ask.Model),
		Messages: asked(ask).Messages,
	})
	if err != nil {
		return nil, err
	}
	if counted.InputTokens == 0 {
		return nil, errors.New("no tokens were counted")
	}
	return nil, nil
}

func cutStream(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	events := client.Messages.NewStreaming(ctx, asked(ask))
	for events.Next() {
	}
	if events.Err() == nil {
		return nil, errors.New("the cut stream ended as if whole")
	}
	return nil, nil
}

func read(err error) (contract.Refusal, bool) {
	var typed *anthropic.Error
	if !errors.As(err, &typed) {
		return contract.Refusal{}, false
	}
	var body struct {
		Error struct{ Budget json.RawMessage }
	}
	_ = json.Unmarshal([]byte(typed.RawJSON()), &body)
	return contract.Refusal{
		Class:  "anthropic.Error",
		Status: typed.StatusCode,
		Code:   string(typed.Type()),
		Budget: body.Error.Budget,
	}, true
}

func main() {
	contract.Run(map[string]contract.Call{
		"chat":       chat,
		"stream":     stream,
		"tools":      tools,
		"parallel":   parallel,
		"reasoning":  reasoning,
		"structured": structured,
		"vision":     vision,
		"count":      count,
		"retry":      retry,
		"cut-stream": cutStream,
	}, chat, read)
}
