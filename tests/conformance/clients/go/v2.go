package main

import (
	"context"
	"io"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func openV2() (func() error, func() error, error) {
	ctx := context.Background()
	configuration, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, nil, err
	}
	s3Client := s3.NewFromConfig(configuration, func(options *s3.Options) {
		options.UsePathStyle = true
		options.DisableLogOutputChecksumValidationSkipped = true
	})
	stsClient := sts.NewFromConfig(configuration)
	getObject := func() error {
		object, err := s3Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return err
		}
		defer object.Body.Close()
		_, err = io.Copy(io.Discard, object.Body)
		return err
	}
	getCallerIdentity := func() error {
		_, err := stsClient.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		return err
	}
	return getObject, getCallerIdentity, nil
}
