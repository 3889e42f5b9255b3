// The community's client, github.com/sashabaranov/go-openai.
package main

import (
	"context"
	"errors"
	"io"

	openai "github.com/sashabaranov/go-openai"
	"github.com/sashabaranov/go-openai/jsonschema"

	"sluice.test/sdk/contract"
)

var ctx = context.Background()

type stone struct {
	Name    string   `json:"name"`
	Weight  int      `json:"weight"`
	Colours []string `json:"colours"`
}

var weather = openai.Tool{
	Type: openai.ToolTypeFunction,
	Function: &openai.FunctionDefinition{
		Name: "weather",
		Parameters: jsonschema.Definition{
			Type:       jsonschema.Object,
			Properties: map[string]jsonschema.Definition{"city": {Type: jsonschema.String}},
			Required:   []string{"city"},
		},
	},
}

func once(ask contract.Ask) *openai.Client {
	config := openai.DefaultConfig(ask.Key)
	config.BaseURL = ask.URL
	return openai.NewClientWithConfig(config)
}

func asked(ask contract.Ask) openai.ChatCompletionRequest {
	return openai.ChatCompletionRequest{
		Model:    ask.Model,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: ask.Prompt}},
	}
}

func used(usage openai.Usage) contract.Used {
	return contract.Used{int64(usage.PromptTokens), int64(usage.CompletionTokens)}
}

func chat(ask contract.Ask) ([]contract.Used, error) {
	answer, err := once(ask).CreateChatCompletion(ctx, asked(ask))
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(answer.Usage)}, contract.ExpectSaid(ask, answer.Choices[0].Message.Content)
}

// streamed gives the text and the last usage of a stream, as the examples of the SDK read it: until io.EOF.
func streamed(ask contract.Ask, options *openai.StreamOptions) (string, *openai.Usage, error) {
	request := asked(ask)
	request.StreamOptions = options
	events, err := once(ask).CreateChatCompletionStream(ctx, request)
	if err != nil {
		return "", nil, err
	}
	defer events.Close()
	text, usage := "", (*openai.Usage)(nil)
	for {
		chunk, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return text, usage, nil
		}
		if err != nil {
			return text, usage, err
		}
		if chunk.Usage != nil {
			usage = chunk.Usage
		}
		for _, choice := range chunk.Choices {
			text += choice.Delta.Content
		}
	}
}

func stream(ask contract.Ask) ([]contract.Used, error) {
	text, usage, err := streamed(ask, &openai.StreamOptions{IncludeUsage: true})
	if err != nil {
		return nil, err
	}
	if usage == nil {
		return nil, errors.New("no usage")
	}
	return []contract.Used{used(*usage)}, contract.ExpectSaid(ask, text)
}

func plainStream(ask contract.Ask) ([]contract.Used, error) {
	text, usage, err := streamed(ask, nil)
	if err != nil {
		return nil, err
	}
	if usage != nil {
		return nil, errors.New("usage that nobody asked for")
	}
	return []contract.Used{nil}, contract.ExpectSaid(ask, text)
}

func tools(ask contract.Ask) ([]contract.Used, error) {
	client, request := once(ask), asked(ask)
	request.Tools = []openai.Tool{weather}
	first, err := client.CreateChatCompletion(ctx, request)
	if err != nil {
		return nil, err
	}
	message := first.Choices[0].Message
	if err := contract.ExpectJSON(message.ToolCalls[0].Function.Arguments, `{"city":"mock"}`); err != nil {
		return nil, err
	}
	request.Messages = append(request.Messages, message, openai.ChatCompletionMessage{
		Role:       openai.ChatMessageRoleTool,
		Content:    "Rain.",
		ToolCallID: message.ToolCalls[0].ID,
	})
	second, err := client.CreateChatCompletion(ctx, request)
	if err != nil {
		return nil, err
	}
	usage := []contract.Used{used(first.Usage), used(second.Usage)}
	return usage, contract.ExpectSaid(ask, second.Choices[0].Message.Content)
}

func structured(ask contract.Ask) ([]contract.Used, error) {
	var made stone
	schema, err := jsonschema.GenerateSchemaForType(made)
	if err != nil {
		return nil, err
	}
	request := asked(ask)
	request.ResponseFormat = &openai.ChatCompletionResponseFormat{
		Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "stone", Schema: schema, Strict: true},
	}
	answer, err := once(ask).CreateChatCompletion(ctx, request)
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(answer.Usage)}, schema.Unmarshal(answer.Choices[0].Message.Content, &made)
}

func vision(ask contract.Ask) ([]contract.Used, error) {
	request := asked(ask)
	request.Messages = []openai.ChatCompletionMessage{{
		Role: openai.ChatMessageRoleUser,
		MultiContent: []openai.ChatMessagePart{
			{Type: openai.ChatMessagePartTypeText, Text: "Describe."},
			{
				Type:     openai.ChatMessagePartTypeImageURL,
				ImageURL: &openai.ChatMessageImageURL{URL: contract.PictureURL},
			},
		},
	}}
	answer, err := once(ask).CreateChatCompletion(ctx, request)
	if err != nil {
		return nil, err
	}
	return []contract.Used{used(answer.Usage)}, contract.ExpectPicture(answer.Choices[0].Message.Content)
}

func embeddings(ask contract.Ask) ([]contract.Used, error) {
	answer, err := once(ask).CreateEmbeddings(ctx, openai.EmbeddingRequest{
		Model: openai.EmbeddingModel(ask.Model),
		Input: []string{"the river", "the stone"},
	})
	if err != nil {
		return nil, err
	}
	vectors := [][]float32{answer.Data[0].Embedding, answer.Data[1].Embedding}
	return []contract.Used{{int64(answer.Usage.PromptTokens), 0}}, contract.ExpectVectors(vectors)
}

func cutStream(ask contract.Ask) ([]contract.Used, error) {
	if _, _, err := streamed(ask, nil); err == nil {
		return nil, errors.New("the cut stream ended as if whole")
	}
	return nil, nil
}

func read(err error) (contract.Refusal, bool) {
	var typed *openai.APIError
	if !errors.As(err, &typed) {
		return contract.Refusal{}, false
	}
	code, _ := typed.Code.(string)
	return contract.Refusal{Class: "openai.APIError", Status: typed.HTTPStatusCode, Code: code}, true
}

func main() {
	contract.Run(map[string]contract.Call{
		"chat":         chat,
		"stream":       stream,
		"plain-stream": plainStream,
		"tools":        tools,
		"structured":   structured,
		"vision":       vision,
		"embeddings":   embeddings,
		"cut-stream":   cutStream,
	}, chat, read)
}
