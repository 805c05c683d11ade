// Fields of a request or a recipe that the form has controls for; all others are shown by the server's own table.
export const kShownFields = new Set(
  (
    'prompt negative styles width height size steps guidance sampler schedule seed count controls control_image ' +
    'init_image mask_image strength image_prompt member stage form bridge bridges'
  ).split(' '),
);
