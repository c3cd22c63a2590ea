// One task of the matrix: client OPERATION ENDPOINT BUCKET KEY FILE [DETAIL]. Prints a JSON object.
// DETAIL is the source key of a copy and the range of a ranged get. Keys and checksum modes: the environment.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const part = 5 << 20

type task struct {
	client                    *s3.Client
	bucket, key, file, detail string
}

type result map[string]string

var tasks = map[string]func(context.Context, *task) (result, error){
	"put":           put,
	"stream":        stream,
	"multipart":     multipart,
	"copy":          copyObject,
	"ranged_get":    rangedGet,
	"presigned_put": presignedPut,
	"presigned_get": presignedGet,
}

func main() {
	found, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(found)
}

func run(arguments []string) (result, error) {
	if len(arguments) < 5 {
		return nil, fmt.Errorf("OPERATION ENDPOINT BUCKET KEY FILE [DETAIL]")
	}
	do, known := tasks[arguments[0]]
	if !known {
		return nil, fmt.Errorf("no such operation: %s", arguments[0])
	}
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1))
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(settings, func(options *s3.Options) {
		options.BaseEndpoint = aws.String(arguments[1])
		options.UsePathStyle = true
	})
	job := &task{client: client, bucket: arguments[2], key: arguments[3], file: arguments[4]}
	if len(arguments) > 5 {
		job.detail = arguments[5]
	}
	return do(ctx, job)
}

func put(ctx context.Context, job *task) (result, error) {
	file, err := os.Open(job.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	done, err := job.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &job.bucket, Key: &job.key, Body: file})
	if err != nil {
		return nil, err
	}
	return result{"ETag": *done.ETag}, nil
}

func upload(ctx context.Context, job *task, body io.Reader) (result, error) {
	uploads := transfermanager.New(job.client, func(options *transfermanager.Options) {
		options.PartSizeBytes = part
		options.MultipartUploadThreshold = part
	})
	done, err := uploads.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &job.bucket, Key: &job.key, Body: body,
	})
	if err != nil {
		return nil, err
	}
	return result{"ETag": *done.ETag}, nil
}

func stream(ctx context.Context, job *task) (result, error) {
	file, err := os.Open(job.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// What is behind the interface cannot seek and has no length to ask for.
	return upload(ctx, job, io.MultiReader(file))
}

func multipart(ctx context.Context, job *task) (result, error) {
	file, err := os.Open(job.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return upload(ctx, job, file)
}

func copyObject(ctx context.Context, job *task) (result, error) {
	source := job.bucket + "/" + url.PathEscape(job.detail)
	done, err := job.client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: &job.bucket, Key: &job.key, CopySource: &source,
	})
	if err != nil {
		return nil, err
	}
	return result{"ETag": *done.CopyObjectResult.ETag}, nil
}

func rangedGet(ctx context.Context, job *task) (result, error) {
	found, err := job.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &job.bucket, Key: &job.key, Range: &job.detail})
	if err != nil {
		return nil, err
	}
	defer found.Body.Close()
	body, err := io.ReadAll(found.Body)
	if err != nil {
		return nil, err
	}
	return result{"ETag": *found.ETag}, os.WriteFile(job.file, body, 0o600)
}

func presignedPut(ctx context.Context, job *task) (result, error) {
	signed, err := s3.NewPresignClient(job.client).PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: &job.bucket, Key: &job.key,
	})
	if err != nil {
		return nil, err
	}
	body, err := os.ReadFile(job.file)
	if err != nil {
		return nil, err
	}
	_, err = fetch(signed.Method, signed.URL, signed.SignedHeader, body)
	return result{"url": signed.URL}, err
}

func presignedGet(ctx context.Context, job *task) (result, error) {
	signed, err := s3.NewPresignClient(job.client).PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &job.bucket, Key: &job.key,
	})
	if err != nil {
		return nil, err
	}
	body, err := fetch(signed.Method, signed.URL, signed.SignedHeader, nil)
	if err != nil {
		return nil, err
	}
	return result{"url": signed.URL}, os.WriteFile(job.file, body, 0o600)
}

func fetch(method, address string, headers http.Header, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range headers {
		if name != "Host" && name != "Content-Length" {
			request.Header[name] = values
		}
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	found, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, found)
	}
	return found, err
}
