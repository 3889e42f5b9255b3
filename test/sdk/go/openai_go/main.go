// The official client, github.com/openai/openai-go.
package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

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

var weather = openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
	Name: "weather",
	Parameters: openai.FunctionParameters{
		"type":       "object",
		"properties": map[string]any{"city": map[string]any{"type": "string"}},
		"required":   []string{"city"},
	},
})

var clock = openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
	Name: "clock",
	Parameters: openai.FunctionParameters{
		"type":       "object",
		"properties": map[string]any{"zone": map[string]any{"type": "string"}},
		"required":   []string{"zone"},
	},
})

func once(ask contract.Ask) openai.Client {
	return openai.NewClient(option.WithBaseURL(ask.URL), option.WithAPIKey(ask.Key), option.WithMaxRetries(0))
}

func asked(ask contract.Ask) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    ask.Model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(ask.Prompt)},
	}
}

func used(usage openai.CompletionUsage) contract.Used {
	return contract.Used{usage.PromptTokens, usage.CompletionTokens}
}

// answered checks that an answer repeats the prompt.
func answered(ask contract.Ask, answer *openai.ChatCompletion, err error) ([]contract.Used, error) {
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(answer.Usage)}, contract.ExpectSaid(ask, answer.Choices[0].Message.Content)
}

func chat(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	answer, err := client.Chat.Completions.New(ctx, asked(ask))
	return answered(ask, answer, err)
}

func retry(ask contract.Ask) ([]contract.Used, error) {
	client := openai.NewClient(option.WithBaseURL(ask.URL), option.WithAPIKey(ask.Key))
	answer, err := client.Chat.Completions.New(ctx, asked(ask))
	return answered(ask, answer, err)
}

func stream(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	events := client.Chat.Completions.NewStreaming(ctx, params)
	whole := openai.ChatCompletionAccumulator{}
	for events.Next() {
		whole.AddChunk(events.Current())
	}
	return answered(ask, &whole.ChatCompletion, events.Err())
}

func plainStream(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	events := client.Chat.Completions.NewStreaming(ctx, asked(ask))
	text := ""
	for events.Next() {
		chunk := events.Current()
		if len(chunk.Choices) == 0 || chunk.JSON.Usage.Valid() {
			return nil, errors.New("usage that nobody asked for")
		}
		text += chunk.Choices[0].Delta.Content
	}
	if err := events.Err(); err != nil {
		return nil, err
	}
	return []contract.Used{nil}, contract.ExpectSaid(ask, text)
}

func tools(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.Tools = []openai.ChatCompletionToolUnionParam{weather}
	first, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return nil, err
	}
	call := first.Choices[0].Message.ToolCalls[0]
	if err := contract.ExpectJSON(call.Function.Arguments, `{"city":"mock"}`); err != nil {
		return nil, err
	}
	params.Messages = append(params.Messages, first.Choices[0].Message.ToParam(), openai.ToolMessage("Rain.", call.ID))
	second, err := client.Chat.Completions.New(ctx, params)
	usage, err := answered(ask, second, err)
	return append([]contract.Used{used(first.Usage)}, usage...), err
}

func parallel(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.Tools = []openai.ChatCompletionToolUnionParam{weather, clock}
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	events := client.Chat.Completions.NewStreaming(ctx, params)
	first := openai.ChatCompletionAccumulator{}
	for events.Next() {
		first.AddChunk(events.Current())
	}
	if err := events.Err(); err != nil {
		return nil, err
	}
	calls := []contract.ToolCall{}
	message := first.Choices[0].Message
	params.Messages = append(params.Messages, message.ToParam())
	for _, call := range message.ToolCalls {
		made := contract.ToolCall{ID: call.ID, Name: call.Function.Name, Input: call.Function.Arguments}
		calls = append(calls, made)
		params.Messages = append(params.Messages, openai.ToolMessage("Rain.", call.ID))
	}
	if err := contract.ExpectCalls(calls); err != nil {
		return nil, err
	}
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{}
	second, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return nil, err
	}
	usage := []contract.Used{used(first.Usage), used(second.Usage)}
	return usage, contract.ExpectAnswered(second.Choices[0].Message.Content)
}

func structured(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.ResponseFormat.OfJSONSchema = &openai.ResponseFormatJSONSchemaParam{
		JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{
			Name:   "stone",
			Schema: stoneSchema,
			Strict: openai.Bool(true),
		},
	}
	answer, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return nil, err
	}
	var made stone
	if err := json.Unmarshal([]byte(answer.Choices[0].Message.Content), &made); err != nil {
		return nil, err
	}
	if made.Name == "" || made.Weight == 0 || len(made.Colours) == 0 {
		return nil, errors.New(answer.Choices[0].Message.Content)
	}
	return []contract.Used{used(answer.Usage)}, nil
}

func vision(ask contract.Ask) ([]contract.Used, error) {
	client, params := once(ask), asked(ask)
	params.Messages = []openai.ChatCompletionMessageParamUnion{
		openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart("Describe."),
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: contract.PictureURL}),
		}),
	}
	answer, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(answer.Usage)}, contract.ExpectPicture(answer.Choices[0].Message.Content)
}

func embeddings(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	answer, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: ask.Model,
		Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"the river", "the stone"}},
	})
	if err != nil {
		return nil, err
	}
	vectors := [][]float64{answer.Data[0].Embedding, answer.Data[1].Embedding}
	return []contract.Used{{answer.Usage.PromptTokens, 0}}, contract.ExpectVectors(vectors)
}

func response(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	params := responses.ResponseNewParams{
		Model: ask.Model,
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(ask.Prompt)},
	}
	whole, err := client.Responses.New(ctx, params)
	if err != nil {
		return nil, err
	}
	if err := contract.ExpectSaid(ask, whole.OutputText()); err != nil {
		return nil, err
	}
	events := client.Responses.NewStreaming(ctx, params)
	text, last := "", responses.ResponseStreamEventUnion{}
	for events.Next() {
		last = events.Current()
		if last.Type == "response.output_text.delta" {
			text += last.Delta
		}
	}
	if err := events.Err(); err != nil {
		return nil, err
	}
	if last.Type != "response.completed" || text != whole.OutputText() {
		return nil, errors.New(last.Type + " behind " + text)
	}
	return []contract.Used{
		{whole.Usage.InputTokens, whole.Usage.OutputTokens},
		{last.Response.Usage.InputTokens, last.Response.Usage.OutputTokens},
	}, nil
}

func cutStream(ask contract.Ask) ([]contract.Used, error) {
	client := once(ask)
	events := client.Chat.Completions.NewStreaming(ctx, asked(ask))
	for events.Next() {
	}
	if events.Err() == nil {
		return nil, errors.New("the cut stream ended as if whole")
	}
	return nil, nil
}

func read(err error) (contract.Refusal, bool) {
	var typed *openai.Error
	if !errors.As(err, &typed) {
		return contract.Refusal{}, false
	}
	refusal := contract.Refusal{Class: "openai.Error", Status: typed.StatusCode, Code: typed.Code}
	if budget := typed.JSON.ExtraFields["budget"].Raw(); budget != "" {
		refusal.Budget = []byte(budget)
	}
	return refusal, true
}

func main() {
	contract.Run(map[string]contract.Call{
		"chat":         chat,
		"stream":       stream,
		"plain-stream": plainStream,
		"parallel":     parallel,
		"tools":        tools,
		"structured":   structured,
		"vision":       vision,
		"embeddings":   embeddings,
		"responses":    response,
		"retry":        retry,
		"cut-stream":   cutStream,
	}, chat, read)
}
