import { describeMatrix } from './matrix.ts';
import { CURL } from './toolchains.ts';

describeMatrix(CURL);
