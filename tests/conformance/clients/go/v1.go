package main

import (
	"io"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/endpoints"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
	"github.com/aws/aws-sdk-go/service/sts"
)

func openV1() (func() error, func() error, error) {
	// It knows none of the AWS_ENDPOINT_URL variables; its own exchange of a web identity goes this way, too.
	places := map[string]string{s3.EndpointsID: os.Getenv("CONFORMANCE_S3"), sts.EndpointsID: os.Getenv("CONFORMANCE_STS")}
	resolve := func(service, region string, _ ...func(*endpoints.Options)) (endpoints.ResolvedEndpoint, error) {
		return endpoints.ResolvedEndpoint{URL: places[service], SigningRegion: region}, nil
	}
	shared, err := session.NewSession(&aws.Config{
		EndpointResolver: endpoints.ResolverFunc(resolve),
		S3ForcePathStyle: aws.Bool(true),
	})
	if err != nil {
		return nil, nil, err
	}
	s3Client, stsClient := s3.New(shared), sts.New(shared)
	getObject := func() error {
		object, err := s3Client.GetObject(&s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return err
		}
		defer object.Body.Close()
		_, err = io.Copy(io.Discard, object.Body)
		return err
	}
	getCallerIdentity := func() error {
		_, err := stsClient.GetCallerIdentity(&sts.GetCallerIdentityInput{})
		return err
	}
	return getObject, getCallerIdentity, nil
}
